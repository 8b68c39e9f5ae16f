"""Plan a change of the catalogue together with its effect in money, for whichever face asks."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from tallystick.control import catalog_plans
from tallystick.control.catalog_plans import Trial, keep_plan, read_plan, simulated_with, try_plan
from tallystick.control.desk import Desk
from tallystick.core.catalog_plan import CatalogPlan, CatalogPlanRequest, CatalogPlanStatus, CatalogVersion
from tallystick.core.period import Instant, day_start, local_day
from tallystick.core.simulation import Candidate, Simulation, SimulationRequest, SimulationStatus
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run
from tallystick.pipeline.simulation_job import create_simulation, read_simulation
from tallystick.ports import OrganizationRecords, OrganizationUsage
from tallystick.ports.founded import config_of


def last_month_end(now: Instant, zone: str) -> date:
    """The last day of the month before the present one."""
    return local_day(now, zone).replace(day=1) - timedelta(days=1)


def plan_catalog(desk: Desk, usage: OrganizationUsage, request: CatalogPlanRequest, up_to: int) -> CatalogPlan:
    """Try a plan, start the simulation of its effect on bills with the usage up to a position, and keep it. Refusals:
    those of `try_plan`. What cannot be simulated says so; it is a plan all the same."""
    zone = config_of(desk.records).value.timezone
    last_day = request.last_date_in_billing_period or last_month_end(desk.now, zone)
    trial = try_plan(desk, request, day_start(last_day + timedelta(days=1), zone))
    if request.simulate and trial.kept.plan.status is not CatalogPlanStatus.NO_CHANGE:
        trial = _with_simulation(desk, usage, request, last_day, trial, up_to)
    return keep_plan(desk, trial.kept)


def _with_simulation(
    desk: Desk, usage: OrganizationUsage, request: CatalogPlanRequest, last_day: date, trial: Trial, up_to: int
) -> Trial:
    changes, missing = simulated_with(trial.made)
    asked = SimulationRequest(
        candidate=Candidate(), last_date_in_billing_period=last_day, billing_frequency=request.billing_frequency
    )
    run = Run(job_id=desk.new_id(), as_of=desk.now, up_to=up_to, actor_id=desk.actor.id)
    simulation, problem = None, None
    try:
        simulation = create_simulation(desk.records, usage, asked, changes, run).id
    except Refusal as refusal:
        problem = refusal.message
    plan = msgspec.structs.replace(
        trial.kept.plan,
        simulation_id=simulation,
        simulation_problem=problem,
        not_simulated=(*missing, *trial.kept.plan.not_simulated),
    )
    return Trial(kept=msgspec.structs.replace(trial.kept, plan=plan), made=trial.made)


def simulation_of(records: OrganizationRecords, plan: CatalogPlan) -> Simulation | None:
    """The simulation of a plan, as long as it is kept."""
    if plan.simulation_id is None:
        return None
    try:
        return read_simulation(records, plan.simulation_id)
    except Refusal:
        return None


def apply_catalog(desk: Desk, id: str, *, reason: str | None = None, at_once: bool = False) -> CatalogVersion:
    """Apply a plan; the version keeps what its simulation came to. Refusals: those of `apply_plan`."""
    found = simulation_of(desk.records, read_plan(desk.records, id))
    effects = found.effects if found is not None and found.status is SimulationStatus.COMPLETE else ()
    return catalog_plans.apply_plan(desk, id, reason=reason, at_once=at_once, effects=effects)
