"""Usage that waits for an identity: counted as soon as somebody has that, without being sent again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control.identities import attribute_waiting
from tallystick.pipeline.ingest import Verdict


def attribute(app: App, organization_id: str) -> Left:
    """Send what waits for identities that are somebody's now through the door."""
    take = partial(_taken, app, organization_id)
    return Left.MORE if attribute_waiting(app.records.organization(organization_id), take) else Left.NOTHING


def _taken(app: App, organization_id: str, members: Sequence[bytes]) -> Sequence[Verdict]:
    return app.intake.take(organization_id, members).measurements


# An identity is an entity, so that each new one gives this something to do; what comes to wait never does: the door has
# looked for its identity at the moment of writing it down.
IDENTITIES = Chore(name="identities", seconds=0.5, do=attribute, problem="attributing usage that waits failed")
