"""Shadow plans, experiments and migrations over HTTP: extensions of ours."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, PAGING, Crud, by_ids_and_codes, desk_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.rollouts import (
    EXPERIMENTS,
    PLAN_MIGRATIONS,
    SHADOW_PLANS,
    assignments,
    check_migration,
    every_move,
    moves,
    preview_moves,
)
from tallystick.core.rollout import (
    Assignment,
    ExperimentReport,
    Moved,
    PlanMigration,
    ShadowBill,
    ShadowReport,
)
from tallystick.core.simulated_bill import Outcome
from tallystick.errors import Refusal
from tallystick.pipeline.experiment_outcome import outcome_of
from tallystick.pipeline.shadow_bills import shadow_bills, shadow_report

SHADOW, EXPERIMENT, MIGRATION = "Shadow plans", "Experiments", "Plan migrations"
FILTERS = {"ids": IDS, "codes": CODES}


def find_shadow_bills(call: Call) -> dict[str, object]:
    """A page of shadow bills, each beside its real one, of the latest periods first."""
    made = SHADOW_PLANS.retrieve(call.records, call.path["id"])
    text = call.query.text("outcome")
    if text is not None and text not in Outcome.__members__:
        raise Refusal("invalid_request", f"outcome: must be one of {', '.join(Outcome)}", field="outcome")
    outcome = None if text is None else Outcome(text)
    found = shadow_bills(call.records, made.id, call.query.page(), outcome)
    return struct_page(found.rows, found.next_token)


def report_shadow(call: Call) -> ShadowReport:
    """What the shadow bills come to beside the real ones."""
    made = SHADOW_PLANS.retrieve(call.records, call.path["id"])
    return shadow_report(call.records, made.id, list(every_move(call.records, made.id)))


def find_shadow_moves(call: Call) -> dict[str, object]:
    """A page of the accounts that went over, and of those that could not."""
    found = moves(call.records, SHADOW_PLANS.retrieve(call.records, call.path["id"]).id, call.query.page())
    return struct_page(found.rows, found.next_token)


def find_assignments(call: Call) -> dict[str, object]:
    """A page of the accounts of an experiment, latest first."""
    made = EXPERIMENTS.retrieve(call.records, call.path["id"])
    found = assignments(call.records, made.id, call.query.page(), call.query.text("variant"))
    return struct_page(found.rows, found.next_token)


def report_experiment(call: Call) -> ExperimentReport:
    """The outcome of an experiment so far, by variant."""
    return outcome_of(call.records, EXPERIMENTS.retrieve(call.records, call.path["id"]), now=call.now)


def find_migration_moves(call: Call) -> dict[str, object]:
    """A page of the accounts that a migration has moved, and of those that it could not."""
    found = moves(call.records, PLAN_MIGRATIONS.retrieve(call.records, call.path["id"]).id, call.query.page())
    return struct_page(found.rows, found.next_token)


def preview_migration(call: Call, body: PlanMigration) -> dict[str, object]:
    """Whom a migration would move and when; nothing is kept."""
    value = check_migration(desk_of(call), body)
    return struct_page(preview_moves(call.records, value, call.now), None)


def _list(path: str, run: object, summary: str, tag: str, row: type, **query: str) -> Route:
    return Route(
        method="GET",
        path=path,
        run=run,  # type: ignore[arg-type]  # a function of a call, as all of these are
        summary=summary,
        tag=tag,
        scope="config:retrieve",
        reply=Paged(row),
        query={**query, **PAGING},
    )


ROUTES = (
    *Crud(noun=SHADOW_PLANS, path="/shadowplans", tag=SHADOW, where=by_ids_and_codes, filters=FILTERS).routes(),
    _list(
        "/shadowplans/{id}/bills",
        find_shadow_bills,
        "List the shadow bills beside the real ones",
        SHADOW,
        ShadowBill,
        outcome="Only RISES, FALLS, SAME or FAILS.",
    ),
    _list("/shadowplans/{id}/moves", find_shadow_moves, "List the accounts that went over", SHADOW, Moved),
    Route(
        method="GET",
        path="/shadowplans/{id}/report",
        run=report_shadow,
        summary="What the shadow bills come to beside the real ones",
        tag=SHADOW,
        scope="config:retrieve",
        reply=ShadowReport,
    ),
    *Crud(noun=EXPERIMENTS, path="/experiments", tag=EXPERIMENT, where=by_ids_and_codes, filters=FILTERS).routes(),
    _list(
        "/experiments/{id}/assignments",
        find_assignments,
        "List the accounts of an experiment",
        EXPERIMENT,
        Assignment,
        variant="Only accounts of the variant with this code.",
    ),
    Route(
        method="GET",
        path="/experiments/{id}/report",
        run=report_experiment,
        summary="The outcome of an experiment by variant",
        tag=EXPERIMENT,
        scope="config:retrieve",
        reply=ExperimentReport,
    ),
    *Crud(
        noun=PLAN_MIGRATIONS, path="/planmigrations", tag=MIGRATION, where=by_ids_and_codes, filters=FILTERS
    ).routes(),
    _list("/planmigrations/{id}/moves", find_migration_moves, "List the accounts of a migration", MIGRATION, Moved),
    Route(
        method="POST",
        path="/planmigrations/preview",
        run=preview_migration,
        summary="See whom a migration would move, and when",
        tag=MIGRATION,
        scope="config:create",
        body=PlanMigration,
        reply=Paged(Moved),
    ),
)
