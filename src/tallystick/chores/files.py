"""Files of measurements that were sent: counted and taken, a chunk of each in turn."""

from __future__ import annotations

from datetime import timedelta

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.pipeline import measurement_files

LOOK_EVERY = timedelta(hours=1)  # at files whose time is over


class FileTaker:
    """Remembers when it looked for old files last."""

    def __init__(self) -> None:
        self._looked: dict[str, Instant] = {}

    def look(self, app: App, organization_id: str) -> Left:
        """Take each file a chunk further."""
        records, now = app.records.organization(organization_id), app.clock.now()
        left = Left.LATER if self._forget_old(app, organization_id, now) else Left.NOTHING
        for job in measurement_files.files_to_take(records):
            try:
                measurement_files.take_chunk(records, app.intake, app.sources, job, now)
            except Refusal as problem:
                if not problem.code.retry:
                    raise
                return Left.LATER  # the journal has more to do than it can: the file waits
            left = Left.MORE
        return left

    def _forget_old(self, app: App, organization_id: str, now: Instant) -> bool:
        looked = self._looked.get(organization_id)
        if looked is not None and now - looked < LOOK_EVERY:
            return True
        self._looked[organization_id] = now
        return measurement_files.forget_old_files(app.records.organization(organization_id), app.sources, now) > 0


def measurement_files_chore() -> Chore:
    """The chore, which remembers when it looked."""
    return Chore(
        name="files of measurements",
        seconds=0.5,
        do=FileTaker().look,
        problem="taking files of measurements failed",
        documents=(measurement_files.KIND,),
    )
