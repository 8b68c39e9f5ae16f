"""What the worker does from time to time in every organisation, and how it passes over those with nothing to do.

There may be thousands of organisations, most of them quiet. One in which a chore found nothing that could ever fall due
is not looked at again until something is committed there of what the chore reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from tallystick.app import App
from tallystick.ports import OrganizationRecords

log = logging.getLogger(__name__)

Stamp = tuple[int, ...]  # of what a chore reads: while it is the same, nothing of it was committed


class Left(Enum):
    """What is left to do in an organisation after a look."""

    NOTHING = auto()  # until something that the chore reads is written
    LATER = auto()  # something may fall due by the clock or by usage: look again in the next round
    MORE = auto()  # look again at once


def nothing_under_way() -> None:
    """Ends a chore that does all it does while it looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """`do` looks after one organisation, once; every `seconds` all of them have their turn.

    `documents` are the kinds of documents that can give it something to do; entities of any kind always can. What `do`
    raises is logged as `problem` and tried again in the next round; the other organisations go on. `stop` ends what it
    has under way on threads of its own; it returns soon, whatever they wait for.
    """

    name: str
    seconds: float
    do: Callable[[App, str], Left]
    problem: str
    documents: tuple[str, ...] = ()
    stop: Callable[[], None] = nothing_under_way


class Rounds:
    """One chore, round by round through all organisations."""

    def __init__(self, app: App, chore: Chore) -> None:
        self._app = app
        self._chore = chore
        self._awake: dict[str, None] | None = None  # those that may have something to do; None: not asked for yet
        self._written = 0  # what of `Records.written` was taken up
        self._quiet: dict[str, Stamp] = {}  # organisations with nothing to do, as they were before they were looked at
        self._failed: dict[str, str] = {}  # what went wrong last, by organisation

    def go(self) -> bool:
        """Give every organisation its turn that may have something to do; returns whether one of them wants the next
        at once. Those that rest cost nothing."""
        awake, more = self._wake(), False
        for each in list(awake):
            left = self._look_at(each)
            if left is Left.NOTHING:
                del awake[each]
            more = left is Left.MORE or more
        return more

    def _wake(self) -> dict[str, None]:
        records = self._app.records
        written, ids = records.written(self._written)  # first: what is written meanwhile wakes in the next round
        if self._awake is None:
            ids = [each.id for each in records.organizations()]
        self._awake = {**(self._awake or {}), **dict.fromkeys(ids)}
        self._written = written
        return self._awake

    def _look_at(self, id: str) -> Left:
        stamp = self._stamp(self._app.records.organization(id))
        if self._quiet.get(id) == stamp:
            return Left.NOTHING
        try:
            left = self._chore.do(self._app, id)
        except Exception as problem:
            # Told in full once: what fails in every round, as with a full disk, must not fill the log.
            if self._failed.get(id) != str(problem):
                log.exception("%s in organization %s; it is tried again", self._chore.problem, id)
            self._failed[id] = str(problem)
            return Left.LATER
        self._failed.pop(id, None)
        if left is Left.NOTHING:
            self._quiet[id] = stamp
        return left

    def _stamp(self, records: OrganizationRecords) -> Stamp:
        return (records.revision, *map(records.documents_written, self._chore.documents))
