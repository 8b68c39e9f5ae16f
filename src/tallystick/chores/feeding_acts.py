"""What the reading of every kind of source has in common: patience with the journal, and the note that it runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import TypeVar

from tallystick.core.usage_source import SourceStatus
from tallystick.errors import Refusal
from tallystick.pipeline.usage_sources import Reach, note_state, state_of

T = TypeVar("T")

MOST = 2_000  # messages or rows that are taken together
BUSY_SECONDS = 0.2  # before what the journal had no room for is sent again; longer each time …
LONGEST_BUSY = 5.0  # … up to this
LOOK = timedelta(minutes=1)  # how often it is kept that a source was looked at


class Stopped(Exception):
    """The source shall not be read any further; what was kept is kept."""


def patiently(stopping: Event, act: Callable[[], T]) -> T:
    """Do it, and again as long as the journal is busy. Stopped when it shall not be done any more."""
    pause = BUSY_SECONDS
    while not stopping.is_set():
        try:
            return act()
        except Refusal as problem:
            if not problem.code.retry:
                raise
            stopping.wait(pause)
            pause = min(2 * pause, LONGEST_BUSY)
    raise Stopped


def running(reach: Reach, lag: int | None) -> None:
    """Note that a source answers, and how much waits there; where nothing is new, not more than once a minute."""
    before, now = state_of(reach.records, reach.source.id), reach.now()
    same = (before.status, before.error, before.lag) == (SourceStatus.RUNNING, None, lag)
    if not same or before.last_looked is None or now - before.last_looked > LOOK:
        note_state(reach, status=SourceStatus.RUNNING, error=None, error_since=None, lag=lag, last_looked=now)
