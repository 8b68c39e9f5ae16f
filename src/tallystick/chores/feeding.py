"""Sources of usage: each that is not paused has a thread of its own, which reads it until it is stopped.

The chore sees to it that the right threads run: it starts them, stops those of sources that were paused, changed or
deleted, and a thread whose source fails tries again after a pause.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.chores.feeding_acts import Stopped
from tallystick.chores.feeding_steps import steps_of
from tallystick.control.usage_sources import credentials_of
from tallystick.core.entity import Entity
from tallystick.core.usage_source import SourceStatus, UsageSource
from tallystick.errors import Refusal
from tallystick.pipeline import usage_sources
from tallystick.pipeline.usage_sources import Reach, note_state
from tallystick.ports import Document

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a source that failed is tried again
REASON_LENGTH = 500


@dataclass
class Puller:
    """The thread of one source, as the source stood when it was started."""

    app: App
    reach: Reach
    secret: Document | None
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        name = f"source {self.reach.source.value.code}"
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def is_of(self, source: Entity[UsageSource], secret: Document | None) -> bool:
        """Whether the source still is as it was."""
        return self.reach.source == source and self.secret == secret

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self.stopping.is_set():
            try:
                with closing(self._steps()) as steps:
                    for _ in steps:
                        pause = FIRST_PAUSE
            except Stopped:
                return
            except Refusal as problem:
                self._failed(problem.message)
            except Exception as problem:
                log.exception("the source %s failed; it is tried again", self.reach.source.id)
                self._failed(f"{type(problem).__name__}: {problem}")
            self.stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _steps(self) -> Generator[None, None, None]:
        credentials = credentials_of(self.app.vault, self.reach.source, self.secret)
        return steps_of(self.app, self.reach, credentials, self.stopping)

    def _failed(self, reason: str) -> None:
        try:
            now = self.reach.now()
            state = usage_sources.state_of(self.reach.records, self.reach.source.id)
            since = state.error_since if state.status is SourceStatus.FAILING else now
            told = {"error": reason[:REASON_LENGTH], "error_since": since or now}
            note_state(self.reach, status=SourceStatus.FAILING, **told)
        except Exception:
            log.exception("how the source %s stands could not be kept", self.reach.source.id)


class Feeding:
    """The threads of all sources, by organisation and id."""

    def __init__(self) -> None:
        self._pullers: dict[str, dict[str, Puller]] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Start and stop what must be of an organisation."""
        records = app.records.organization(organization_id)
        pullers = self._pullers.setdefault(organization_id, {})
        sources = {each.id: each for each in records.every(UsageSource)}
        for id_, puller in list(pullers.items()):
            source = sources.get(id_)
            secret = records.document(usage_sources.SECRET, id_)
            if source is None or source.value.paused or not puller.is_of(source, secret):
                puller.stopping.set()
            if not puller.thread.is_alive():
                del pullers[id_]
        for id_, source in sources.items():
            reach = Reach(records, app.intake, app.events, source, app.clock.now)
            if id_ not in pullers and source.value.paused:
                note_state(reach, status=SourceStatus.PAUSED, error=None, error_since=None)
            elif id_ not in pullers:
                pullers[id_] = Puller(app, reach, records.document(usage_sources.SECRET, id_))
        return Left.LATER if sources or pullers else Left.NOTHING

    def stop(self) -> None:
        """Let every thread come to the end of its step."""
        pullers = [each for some in self._pullers.values() for each in some.values()]
        for puller in pullers:
            puller.stopping.set()
        for puller in pullers:
            puller.thread.join()


def feeding() -> Chore:
    """The chore, which has the threads."""
    feeds = Feeding()
    return Chore(
        name="sources of usage",
        seconds=0.5,
        do=feeds.look,
        problem="looking after sources of usage failed",
        documents=(usage_sources.SECRET,),
        stop=feeds.stop,
    )
