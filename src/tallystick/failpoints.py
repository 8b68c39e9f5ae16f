"""Places where a test can have the server killed, as a power cut would: TALLYSTICK_FAILPOINT=NAME or NAME=TIMES.

The process that reaches the named place (for the n-th time) ends itself by SIGKILL: nothing is flushed, closed or
answered. Without the variable a place costs one look at an empty dictionary. Only the server's process is armed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

VARIABLE = "TALLYSTICK_FAILPOINT"

BILLS = "bills: "  # before the steps of a bill job
EXPORTS = "exports."  # before the steps of an export
HAND_OVER = ("outbox.", "handover.", "stripe.")  # before the steps of handing over

POINTS = {
    "journal.written": "An append is in the file and not yet synced.",
    "journal.synced": "An append is on disk; its uids are not claimed yet and nobody was told.",
    "journal.segment": "A new segment is on disk; its name in the directory is not yet.",
    "uids.put": "The uids of an append are claimed; who waited for it may have been told.",
    "projection.mediated": "Journal entries became rows; the usage store has none of them.",
    "projection.inserted": "The usage store has the rows; its mark does not say so.",
    "projection.marked": "The usage store has the rows and the mark.",
    "feed.read": "Something was read from a source of usage; nothing of it is in the journal.",
    "feed.taken": "What was read from a source is in the journal; how far it was read is not kept yet.",
    "feed.kept": "That is kept, too; the source was not told.",
    BILLS + "initialising": "A bill job is listing what it covers.",
    BILLS + "initialised, not committed": "The list of a bill job is written, inside its transaction.",
    BILLS + "initialised": "The list of a bill job is kept.",
    BILLS + "rated": "A chunk of bills is calculated and not written.",
    BILLS + "bills written, not committed": "A chunk of bills is written, inside its transaction.",
    BILLS + "progress written, not committed": "So is what the job has done.",
    BILLS + "committed": "A chunk of bills and the progress of its job are kept.",
    "outbox.written": "An event that somebody wants is written, inside the transaction of its change.",
    "outbox.dispatched, not committed": "Events became runs, inside a transaction.",
    "outbox.dispatched": "Events became runs, which are kept.",
    "handover.started": "A run is kept as started; nothing has left the house.",
    "handover.performed": "What a run hands over is there; how it went is not kept.",
    "handover.kept": "How a run went is kept.",
    "exports.part written": "A file of an export is on disk; the job does not know of it.",
    "exports.part kept": "The job knows of its files so far, and where to go on.",
    "exports.part delivered": "A file is at its destination; the job does not know.",
    "exports.manifest delivered": "A destination has all of an export; the job does not know.",
    "stripe.customer": "Stripe has a customer for an account; nobody here knows which.",
    "stripe.dropped": "The draft of an earlier calculation is gone from Stripe; the new one is not there.",
    "stripe.voided": "The invoice of an earlier calculation is void at Stripe; the new one is not there.",
    "stripe.created": "Stripe has an empty draft for a bill.",
    "stripe.lines": "Stripe has some of the lines of a bill.",
    "stripe.noted": "Stripe has a credit note; its invoice does not say yet that it is of the new calculation.",
    "stripe.credited": "It does.",
    "stripe.finalized": "The invoice of a bill is final at Stripe.",
    "stripe.metered": "Stripe has counted the usage of a line; nobody here knows.",
}

_armed: dict[str, int] = {}  # the place → how many times it is yet to be reached


def arm(environment: Mapping[str, str] = os.environ) -> None:
    """Take up what the variable asks for. ValueError when there is no such place."""
    asked = environment.get(VARIABLE, "")
    _armed.clear()
    if not asked:
        return
    name, _, times = asked.partition("=")
    if "=" not in asked:
        times = "1"
    if name not in POINTS or not times.isdecimal() or int(times) < 1:
        raise ValueError(f"{VARIABLE}: must be NAME or NAME=TIMES, got {asked!r}; names: {', '.join(POINTS)}")
    _armed[name] = int(times)


def reached(name: str) -> None:
    """Say that a place is reached; the process may end here."""
    if _armed and name in _armed:
        _armed[name] -= 1
        if _armed[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
