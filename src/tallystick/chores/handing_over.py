"""Handing over: waiting events become runs, and runs that are due are performed on threads of their own.

A target that is slow, or does not answer at all, holds up nothing but what is for it: each integration has a few
threads at most, each kind of destination a bounded number, and whoever stops the server waits for none of them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.core.integration import RUN, Destination, IntegrationConfig, IntegrationRun, RunStatus
from tallystick.outbox import OUTBOX
from tallystick.pipeline.handover import DUE, choose, dispatch, due_runs, keep, perform, take
from tallystick.ports import OrganizationRecords
from tallystick.ports.handover import HandedOver

log = logging.getLogger(__name__)

MOST_AT_ONCE = 16  # runs that are marked, performed and kept together where a target answers fast
FAST_SECONDS = 0.25  # what so many may take
SHARE = 4  # an organisation takes at most this part of the threads of a destination
TURN_SECONDS = 5.0  # after this a thread gives its place to whoever waits for one
STOP_SECONDS = 3.0  # how long a stop waits for what is under way; the rest is taken up at the next start


class Hands:
    """The threads that hand over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._by_destination: Counter[Destination] = Counter()
        self._by_organization: Counter[tuple[Destination, str]] = Counter()
        self._by_config: Counter[str] = Counter()
        self._busy: dict[str, str] = {}  # runs that are under way here, with their configurations

    def look(self, app: App, organization_id: str) -> Left:
        """Make runs of what waits in an organisation, and have threads see to those that are due."""
        records, now = app.records.organization(organization_id), app.clock.now()
        if dispatch(records, now):
            return Left.MORE
        each = app.settings.handover_threads_each
        due = due_runs(records, now, each + MOST_AT_ONCE)
        configs = records.get_many(IntegrationConfig, due.runs.keys())
        for config_id, count in due.runs.items():
            config = configs.get(config_id)
            destination = config.value.destination if config is not None else Destination.WEBHOOK
            self._spread(app, organization_id, config_id, destination, count)
        return Left.LATER if due.later else Left.NOTHING

    def stop(self) -> None:
        """Begin nothing new, and wait a little for what is under way."""
        self._stopping.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in tuple(self._threads):
            thread.join(max(0.0, until - time.monotonic()))

    def _spread(self, app: App, organization_id: str, config_id: str, destination: Destination, count: int) -> None:
        """Begin as many threads for an integration as it has work for and as there is room for. An organisation takes
        a quarter of a destination's at most: however slow all its targets are, there is room for others."""
        settings, here = app.settings, (destination, organization_id)
        with self._lock:
            wanted = min(count - self._busy_of(config_id), settings.handover_threads_each - self._by_config[config_id])
            room = settings.handover_threads - self._by_destination[destination]
            share = max(1, settings.handover_threads // SHARE) - self._by_organization[here]
            for _ in range(max(0, min(wanted, room, share))):
                work = partial(self._work, app, organization_id, config_id, destination)
                thread = threading.Thread(target=work, name=f"hand over to {destination}", daemon=True)
                self._by_config[config_id] += 1
                self._by_organization[here] += 1
                self._by_destination[destination] += 1
                self._threads.add(thread)
                thread.start()

    def _work(self, app: App, organization_id: str, config_id: str, destination: Destination) -> None:
        """Hand over what is due of an integration until nothing is, or the turn is over."""
        until = time.monotonic() + TURN_SECONDS
        at_once = 1
        try:
            while not self._stopping.is_set() and time.monotonic() < until:
                began = time.monotonic()
                if not self._hand_over(app, organization_id, config_id, at_once):
                    return
                fast = time.monotonic() - began < FAST_SECONDS
                at_once = min(at_once * 2, MOST_AT_ONCE) if fast else 1
        except Exception:
            if not self._stopping.is_set():  # else the stores may be closed: it is taken up at the next start
                log.exception("handing over for organization %s failed; it is tried again", organization_id)
        finally:
            with self._lock:
                self._by_config[config_id] -= 1
                self._by_organization[destination, organization_id] -= 1
                self._by_destination[destination] -= 1
                self._threads.discard(threading.current_thread())

    def _hand_over(self, app: App, organization_id: str, config_id: str, most: int) -> bool:
        """Hand over some runs of an integration; returns whether there were any."""
        records = app.records.organization(organization_id)
        with self._lock:
            mine = choose(records, config_id, app.clock.now(), most, self._busy)
            self._busy |= dict.fromkeys(mine, config_id)
        try:
            if not mine:
                return False
            outcomes: list[tuple[IntegrationRun, HandedOver]] = []
            for what in take(records, mine, app.clock.now()):
                if self._stopping.is_set():
                    break  # what is marked as started and was not is taken up at the next start
                # Those before it may have taken long: what is signed and sent is of the moment that it is sent.
                outcomes.append((what.run, perform(app.performers, replace(what, now=app.clock.now()))))
            if outcomes:
                _keep(app, records, outcomes)
            return True
        finally:
            with self._lock:
                for each in mine:
                    del self._busy[each]

    def _busy_of(self, config_id: str) -> int:
        return sum(each == config_id for each in self._busy.values())


def _keep(app: App, records: OrganizationRecords, outcomes: Sequence[tuple[IntegrationRun, HandedOver]]) -> None:
    """Keep how runs went. One whose outcome cannot be kept is tried again later; were the others not kept because of
    it, all would be sent again at once, for ever."""
    now, attempts = app.clock.now(), app.settings.handover_attempts
    try:
        keep(records, outcomes, now, attempts)
    except Exception as problem:
        if len(outcomes) > 1:
            for each in outcomes:
                _keep(app, records, (each,))
            return
        ((run, _),) = outcomes
        log.exception("what came of run %s cannot be kept; it is tried again", run.id)
        error = f"what came of it could not be kept ({type(problem).__name__}); the log of the server says more"
        keep(records, [(run, HandedOver(status=RunStatus.AWAITING_RETRY, error=error))], now, attempts)


def handing_over() -> Chore:
    """The chore, with hands of its own."""
    hands = Hands()
    return Chore(
        name="hand over",
        seconds=0.25,
        do=hands.look,
        problem="handing over failed",
        documents=(OUTBOX, RUN, DUE),
        stop=hands.stop,
    )
