"""What shadow plans, experiments and migrations do by themselves: shadow bills, switches, new accounts, moves."""

from __future__ import annotations

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control import rollouts
from tallystick.control.desk import Desk
from tallystick.core.rollout import Experiment, PlanMigration, ShadowPlan
from tallystick.pipeline import shadow_bills
from tallystick.ports import Actor

ROLLOUTS = Actor(id="rollouts", kind="SCHEDULER")  # at whose desk accounts are moved


def shadow(app: App, organization_id: str) -> Left:
    """Make shadow bills of real ones, and move accounts over when their day has come."""
    records, usage = app.records.organization(organization_id), app.usage.organization(organization_id)
    desk = Desk(records=records, actor=ROLLOUTS, now=app.clock.now())
    left = Left.NOTHING
    for each in list(records.every(ShadowPlan)):
        more = shadow_bills.make_shadows(records, usage, each, now=desk.now, mark=app.usage.mark)
        switching = rollouts.switch(desk, each)
        if more or switching:
            left = Left.MORE
        elif left is Left.NOTHING:
            waits = switching is None and each.value.switch_date is not None
            left = Left.LATER if waits or shadow_bills.work_of(records, each.id).wanted else left
    return left


def assign(app: App, organization_id: str) -> Left:
    """Give new accounts the variant of each experiment, and move the accounts of migrations."""
    desk = Desk(records=app.records.organization(organization_id), actor=ROLLOUTS, now=app.clock.now())
    left = Left.NOTHING
    for experiment in list(desk.records.every(Experiment)):
        rollouts.assign(desk, experiment)
    for migration in list(desk.records.every(PlanMigration)):
        if rollouts.migrate(desk, migration):
            left = Left.MORE
    return left


SHADOWS = Chore(
    name="shadow plans",
    seconds=2,
    do=shadow,
    problem="shadow bills failed",
    documents=("bill", shadow_bills.KIND, rollouts.MOVED),
)
ASSIGNMENTS = Chore(
    name="experiments and migrations",
    seconds=2,
    do=assign,
    problem="assigning and moving accounts failed",
    documents=(rollouts.MOVED,),
)
