"""Plans of the catalogue as code: made, approved by another user, applied as one transaction, and kept as versions.

A plan is tried before it is kept, by the rules that will apply it, in a transaction that is rolled back. Applying it is
refused once the catalogue is another than the one that it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from tallystick.control.catalog_apply import Made, Place, apply_entries
from tallystick.control.catalog_history import entries_of_version, keep_version
from tallystick.control.catalog_stock import Stock, take_stock
from tallystick.control.desk import Desk, Noun, rule_broken
from tallystick.core import wire
from tallystick.core.catalog_change import billed_as_before, brought_forward, changes_of, dated, digest_of, within
from tallystick.core.catalog_parts import NESTED, PARTS, Key, Placed, put_together, spoken_of, taken_apart
from tallystick.core.catalog_plan import (
    CatalogPlan,
    CatalogPlanRequest,
    CatalogPlanStatus,
    CatalogSettings,
    CatalogVersion,
)
from tallystick.core.catalog_reading import read_entries
from tallystick.core.catalog_written import shown
from tallystick.core.entity import Entity, Value
from tallystick.core.period import Instant
from tallystick.core.simulation import SUPPOSABLE, ChangedEntity, Changes
from tallystick.core.simulation_effect import Effect
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction

KIND = "catalogplan"
KEPT = 50  # plans of an organisation that are done with; the oldest goes
PERIODS = "planTemplates (billing periods)"
SETTINGS = Noun(of=CatalogSettings)


class KeptPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A plan with the whole catalogue that it leads to."""

    plan: CatalogPlan
    target: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A plan that is not kept yet, with what a simulation of it is asked with."""

    kept: KeptPlan
    made: list[Made]


class _TakenBack(Exception):
    """Rolls the transaction back, with what would have been kept."""

    def __init__(self, made: list[Made]) -> None:
        super().__init__("nothing is kept")
        self.made = made


# ------------------------------------------------------------------------------------------------------ planning


def try_plan(desk: Desk, request: CatalogPlanRequest, simulated_until: Instant) -> Trial:
    """What a plan would change, tried by the rules and not kept. It is simulated as though its prices had held in the
    periods before a moment. Refusals: `invalid_request` for what is wrong with the catalogue, with its place, and those
    of each change by itself."""
    start = request.effective_from
    if start is not None and start <= desk.now:
        message = f"effectiveFrom: must be in the future, got {start.wire()}; leave it out to change at once"
        raise Refusal("invalid_request", message, field="effectiveFrom")
    placed = _wanted(desk, request)
    stock = take_stock(desk.records)
    sections = {part for part in placed.sections if part}
    rest = {key: each for key, each in stock.entries.items() if key not in within(stock.entries, sections)}
    wanted = rest | {each.key: each.entry for each in placed.entries.values()}
    target = wanted if start is None else dated(stock.entries, wanted, start)
    trial = _tried(desk, stock, target, placed.place)
    same_periods = billed_as_before(stock.entries, wanted)
    shown_as = brought_forward(stock.entries, same_periods, simulated_until)
    simulated = trial if shown_as == target else _tried(desk, stock, shown_as, placed.place)
    changes = changes_of(stock.entries, target, is_dated=start is not None)
    status = CatalogPlanStatus.NO_CHANGE if not changes else CatalogPlanStatus.PLANNED
    if changes and current_settings(desk.records).require_approval:
        status = CatalogPlanStatus.AWAITING_APPROVAL
    plan = CatalogPlan(
        id=desk.new_id(),
        status=status,
        base_digest=stock.digest,
        target_digest=digest_of(target),
        changes=changes,
        dt_created=desk.now,
        created_by=desk.actor.id,
        effective_from=start,
        to_version=request.to_version,
        reason=request.reason,
        unnamed=tuple(str(each) for each in stock.unnamed),
    )
    if same_periods != wanted:
        plan = msgspec.structs.replace(plan, not_simulated=(PERIODS,))
    return Trial(kept=KeptPlan(plan=plan, target=shown(put_together(target))), made=simulated)


@dataclass(frozen=True, slots=True)
class _Wanted:
    entries: Mapping[Key, Placed]
    sections: frozenset[str]

    def place(self, key: Key) -> str:
        """Where an entry stands in what was sent; of a price that was dated, the one that it comes of."""
        if key in self.entries:
            return self.entries[key].place
        if key.section in NESTED:
            of_line = (each for each in self.entries if each[0] == key[0] and each.name[:-1] == key.name[:-1])
            found = next(of_line, None)
            return self.entries[found].place if found is not None else key.section
        return key.section


def _wanted(desk: Desk, request: CatalogPlanRequest) -> _Wanted:
    if request.to_version is not None:
        entries = entries_of_version(desk.records, request.to_version)
    else:
        assert request.catalog is not None, "a request has a catalogue or a version"
        entries, problems = read_entries(request.catalog)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            place, message = problems[0]
            raise Refusal("invalid_request", f"{place}: {message}{more}", field=place)
    return _Wanted({each.key: each for each in taken_apart(entries)}, spoken_of(entries))


def _tried(desk: Desk, stock: Stock, target: Mapping[Key, Value], place: Place) -> list[Made]:
    try:
        with desk.records.transaction() as write:
            _take_back(apply_entries(desk, write, stock, target, place))
    except _TakenBack as taken_back:
        return taken_back.made


def _take_back(made: list[Made]) -> NoReturn:
    raise _TakenBack(made)


def simulated_with(made: Sequence[Made]) -> tuple[Changes, tuple[str, ...]]:
    """What a simulation is asked with, and the sections of what changes that it cannot show."""
    kinds = [(each, PARTS[each.section].of.kind) for each in made]
    others = tuple(
        ChangedEntity.of(kind, each.id, None if each.entity is None else each.entity.value)
        for each, kind in kinds
        if kind in SUPPOSABLE
    )
    return Changes(others=others), tuple(sorted({each.section for each, kind in kinds if kind not in SUPPOSABLE}))


def keep_plan(desk: Desk, kept: KeptPlan) -> CatalogPlan:
    """Keep a plan that was tried, with what is known of its simulation. One that changes nothing is not kept."""
    if kept.plan.status is not CatalogPlanStatus.NO_CHANGE:
        with desk.records.transaction() as write:
            _put(write, kept)
            write.note("PLAN", KIND, kept.plan.id, at=desk.now, by=desk.actor)
            _forget_old(write)
    return kept.plan


def _forget_old(write: Transaction) -> None:
    found = write.documents(KIND, DocumentWhere(), Page(size=2 * KEPT)).rows
    done = [each for each in found[KEPT:] if each.keys["status"] != CatalogPlanStatus.AWAITING_APPROVAL]
    if done:
        write.remove_documents(KIND, [each.id for each in done])


# ------------------------------------------------------------------------------------------------------ reading


def read_plan(records: OrganizationRecords, id: str) -> CatalogPlan:
    """One plan; Refusal `not_found`."""
    return _read(records, id).plan


def list_plans(records: OrganizationRecords, page: Page, status: CatalogPlanStatus | None = None) -> Found[CatalogPlan]:
    """A page of plans, newest first."""
    where = DocumentWhere(equal={"status": [status.value]} if status else {})
    found = records.documents(KIND, where, page)
    return Found(tuple(wire.decode(KeptPlan, each.body).plan for each in found.rows), found.next_token)


def _read(records: OrganizationRecords, id: str) -> KeptPlan:
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no plan of the catalogue {id[:40]!r}", field="id")
    return wire.decode(KeptPlan, document.body)


def _put(write: Transaction, kept: KeptPlan) -> None:
    plan = kept.plan
    document = Document(id=plan.id, sort=plan.dt_created.stamp(), keys=plan.keys, body=wire.encode(kept))
    write.put_documents(KIND, [document])


# ------------------------------------------------------------------------------------------------------ deciding


def approve(desk: Desk, id: str) -> CatalogPlan:
    """Approve a plan. Refusal `rule_broken` for the user who made it: a second person must see it."""

    def decide(plan: CatalogPlan) -> CatalogPlan:
        if plan.created_by == desk.actor.id:
            raise rule_broken("id", "who asked for a change does not approve it; let another user do that")
        return msgspec.structs.replace(
            plan, status=CatalogPlanStatus.APPROVED, approved_by=desk.actor.id, dt_approved=desk.now
        )

    return _decided(desk, id, "APPROVE", decide)


def reject(desk: Desk, id: str) -> CatalogPlan:
    """Give a plan up: it cannot be applied any more."""

    def decide(plan: CatalogPlan) -> CatalogPlan:
        return msgspec.structs.replace(
            plan, status=CatalogPlanStatus.REJECTED, rejected_by=desk.actor.id, dt_rejected=desk.now
        )

    return _decided(desk, id, "REJECT", decide)


def _decided(desk: Desk, id: str, action: str, decide: Callable[[CatalogPlan], CatalogPlan]) -> CatalogPlan:
    with desk.records.transaction() as write:
        kept = _read(write, id)
        _require_open(kept.plan)
        kept = msgspec.structs.replace(kept, plan=decide(kept.plan))
        _put(write, kept)
        write.note(action, KIND, id, at=desk.now, by=desk.actor)
    return kept.plan


def _require_open(plan: CatalogPlan) -> None:
    if not plan.status.is_open:
        raise rule_broken("id", f"the plan is {plan.status}; make another")


# ------------------------------------------------------------------------------------------------------ applying


def apply_plan(
    desk: Desk, id: str, *, reason: str | None = None, at_once: bool = False, effects: tuple[Effect, ...] = ()
) -> CatalogVersion:
    """Make the catalogue what a plan says, all of it or nothing. `at_once` agrees to changes that cannot be dated,
    where the plan is. Refusals: `catalog_changed`, `approval_required`, `rule_broken` for what is done with or whose
    day has passed, and those of each change by itself."""
    with desk.records.transaction() as write:
        kept = _read(write, id)
        plan = kept.plan
        _require_open(plan)
        stock = take_stock(write)
        _require_appliable(desk, write, plan, stock, at_once=at_once)
        entries, problems = read_entries(kept.target)
        assert not problems, f"the target of the plan {id} was read when it was planned"
        target = {each.key: each.entry for each in taken_apart(entries)}
        apply_entries(desk, write, stock, target, str)
        version = keep_version(desk, write, stock, take_stock(write), plan, reason or plan.reason, effects)
        done = msgspec.structs.replace(plan, status=CatalogPlanStatus.APPLIED, applied_as=version.number)
        _put(write, msgspec.structs.replace(kept, plan=done))
        write.note("APPLY", KIND, id, at=desk.now, by=desk.actor)
    return version


def _require_appliable(
    desk: Desk, read: OrganizationRecords, plan: CatalogPlan, stock: Stock, *, at_once: bool
) -> None:
    if current_settings(read).require_approval and plan.status is not CatalogPlanStatus.APPROVED:
        message = f"another user than {plan.created_by} must approve the plan {plan.id} first"
        raise Refusal("approval_required", message)
    if stock.digest != plan.base_digest:
        raise Refusal("catalog_changed", "the catalogue was changed since the plan was made; nothing was applied")
    if plan.effective_from is not None and plan.effective_from <= desk.now:
        raise rule_broken("id", f"its prices were to change {plan.effective_from.wire()}, which has passed; plan again")
    if plan.at_once and not at_once:
        named = ", ".join(f"{each.section} {each.name}" for each in plan.at_once[:5])
        raise rule_broken("atOnce", f"these cannot be dated and would change at once: {named}; agree with atOnce true")


# ------------------------------------------------------------------------------------------------------ settings


def current_settings(records: OrganizationRecords) -> CatalogSettings:
    """The settings in force."""
    entity = _settings(records)
    return CatalogSettings() if entity is None else entity.value


def settings_version(records: OrganizationRecords) -> int:
    """Their version; 0 for those that nobody has set."""
    entity = _settings(records)
    return 0 if entity is None else entity.version


def change_settings(desk: Desk, value: CatalogSettings, version: int | None) -> Entity[CatalogSettings]:
    """Replace the settings. Refusal `version_mismatch`."""
    with desk.records.transaction() as write:
        before = _settings(write)
        if before is not None:
            return SETTINGS.update_within(desk, write, before, value, version)
        if version:
            message = f"version: nobody has set these settings yet, the request names version {version}"
            raise Refusal("version_mismatch", message, field="version")
        return SETTINGS.create_within(desk, write, value, write.organization_id)


def _settings(records: OrganizationRecords) -> Entity[CatalogSettings] | None:
    return records.get(CatalogSettings, records.organization_id)
