"""The form of the playground: the prices of a plan as they are and as they were typed, and the candidate they make."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallystick.console.chart_drawing import Chart, Frame
from tallystick.console.charts import price_steps
from tallystick.console.form import Form
from tallystick.console.page import Visit
from tallystick.console.plans import MOST_PRICES, Price, priced
from tallystick.console.price_lists import Row, bands_of, curve_of, in_words, rows_of, span_of, typed_rows
from tallystick.core import wire
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.simulated_bill import Besides, Cap, LinePair
from tallystick.core.simulation import SEGMENT_BY, Candidate, PlanCandidate, PricingCandidate
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Where
from tallystick.ports import Page as ListPage

CHARGES = ("standingCharge", "minimumSpend", "maximumSpend")


class Edited(msgspec.Struct, frozen=True, kw_only=True):
    """A price as it is, and what stands in its fields."""

    now: Price
    value: Pricing  # as it is typed; as it is, where that makes no sense
    rows: Sequence[Row]
    removed: bool
    chart: Chart | None

    @property
    def name(self) -> str:
        return f"{self.now.counts}: {self.now.segment}" if self.now.segment else self.now.counts

    @property
    def changed(self) -> bool:
        return self.removed or not same(self.value, self.now.value)

    @property
    def form(self) -> str:
        """The form that is typed, in a few words."""
        return in_words(self.value)


def same(one: Pricing, other: Pricing) -> bool:
    """Whether two pricings charge the same, whatever the ids of their bands."""
    return _without_ids(one) == _without_ids(other)


def _without_ids(value: Pricing) -> Pricing:
    bands = tuple(msgspec.structs.replace(each, id=None) for each in value.pricing_bands)
    return msgspec.structs.replace(value, pricing_bands=bands)


def prices_of(records: OrganizationRecords, plan: Entity[Plan], end: Instant, now: Instant) -> list[Price]:
    """The prices that the plan has, and its template, at the end of the period; what ended before is left out."""
    found: list[Entity[Pricing]] = []
    for key, id_ in (("plan_id", plan.id), ("plan_template_id", plan.value.plan_template_id)):
        found += records.find(Pricing, Where(equal={key: (id_,)}), ListPage(size=MOST_PRICES)).rows
    held = [
        each
        for each in found
        if each.value.start_date < end and (each.value.end_date is None or each.value.end_date >= end)
    ]
    return priced(records, held, now)


# ------------------------------------------------------------------------------------------------------ typed


def typed_candidate(form: Form, plan: Entity[Plan], prices: Sequence[Price], *, charges: bool = True) -> Candidate:
    """What was typed, where it is other than it is. Refusals name the field of the price at fault."""
    by_id = {each.id: each for each in prices}
    pricings, removed = [], []
    for id_ in form.texts("pricingId"):
        if id_ not in by_id:
            continue
        if form.flag(f"removed.{id_}"):
            removed.append(id_)
            continue
        value = typed_pricing(form, by_id[id_])
        if not same(value, by_id[id_].value):
            body = {name: getattr(value, name) for name in Pricing.__struct_fields__}
            version = form.number(f"version.{id_}", lowest=1, highest=10**9)
            pricings.append(PricingCandidate(**body, id=id_, version=version))
    plans = (_typed_plan(form, plan),) if charges else ()
    return Candidate(
        plans=tuple(each for each in plans if each is not None),
        pricings=tuple(pricings),
        removed_pricing_ids=tuple(removed),
    )


def _typed_plan(form: Form, plan: Entity[Plan]) -> PlanCandidate | None:
    if not any(name in form.values for name in CHARGES):
        return None
    standing, least, most = (form.decimal(name) for name in CHARGES)
    try:
        typed = PlanCandidate(id=plan.id, standing_charge=standing, minimum_spend=least, maximum_spend=most)
        return None if typed.on(plan.value) == plan.value else typed
    except ValueError as problem:
        field = str(problem).partition(":")[0]
        raise Refusal("invalid_request", str(problem), field=field) from None


def typed_pricing(form: Form, price: Price) -> Pricing:
    """A price with what was typed of it. Refusal with the field that shows it."""
    now, suffix = price.value, f".{price.id}"
    field = f"pricingBands{suffix}"
    changes: dict[str, object] = {}
    try:
        if now.pricing_bands and f"lowerLimit{suffix}" in form.values:
            body = wire.encode(bands_of(typed_rows(form, suffix)))
            changes["pricing_bands"] = wire.decode(tuple[PricingBand, ...], body)
            changes["cumulative"] = form.text(f"cumulative{suffix}") == "true"
        if now.percent is not None and f"percent{suffix}" in form.values:
            field = f"percent{suffix}"
            changes["percent"] = form.decimal(field)
        if now.package is not None and f"packagePrice{suffix}" in form.values:
            field = f"packagePrice{suffix}"
            changes["package"] = msgspec.structs.replace(now.package, price=form.decimal(field) or Decimal(0))
        if f"minimumSpend{suffix}" in form.values:
            changes["minimum_spend"] = form.decimal(f"minimumSpend{suffix}")
        body = wire.encode(msgspec.structs.replace(now, **changes))
        return wire.decode(Pricing, body)
    except ValueError as problem:  # of msgspec too
        raise Refusal("invalid_request", f"{price.counts}: {problem}", field=field) from None
    except Refusal as problem:
        raise Refusal(problem.code.name, f"{price.counts}: {problem.message}", field=field) from None


# ------------------------------------------------------------------------------------------------------ shown


def edited(
    visit: Visit, prices: Sequence[Price], kept: Candidate | None, currency: str, lines: Sequence[LinePair] = ()
) -> list[Edited]:
    """The prices for the form: as they were typed, else as a candidate has them that was kept, else as they are."""
    form = visit.form
    of_kept = {each.id: each.pricing for each in kept.pricings} if kept else {}
    shown = []
    for price in prices:
        suffix = f".{price.id}"
        value = of_kept.get(price.id, price.value)
        rows: Sequence[Row] = rows_of(value.pricing_bands)
        removed = price.id in kept.removed_pricing_ids if kept else False
        if form.values:
            removed, rows = form.flag(f"removed{suffix}"), typed_rows(form, suffix)
            value = _as_typed(form, price)
        chart = _chart(price, value, currency, _used(price, lines))
        shown.append(Edited(now=price, value=value, rows=rows, removed=removed, chart=chart))
    return shown


def _as_typed(form: Form, price: Price) -> Pricing:
    try:
        return typed_pricing(form, price)
    except Refusal:
        return price.value


def _used(price: Price, lines: Sequence[LinePair]) -> Decimal | None:
    """How many units of what a price is for an account has used, as far as its bill tells."""
    value = price.value
    for each in lines:
        if (each.aggregation_id, each.compound_aggregation_id) == (
            value.aggregation_id,
            value.compound_aggregation_id,
        ) and (each.segment or None) == (value.segment or None):
            return each.new_units if each.new_units is not None else each.old_units
    return None


def _chart(price: Price, value: Pricing, currency: str, used: Decimal | None) -> Chart | None:
    now = price.value
    if not now.pricing_bands or not value.pricing_bands:
        return None
    span = max(span_of(now.pricing_bands, value.pricing_bands), (used or Decimal(0)) * Decimal("1.1"))
    curves = [curve_of("Now", now.pricing_bands, cumulative=now.cumulative, up_to=span)]
    if not same(value, now):
        curves.append(curve_of("Candidate", value.pricing_bands, cumulative=value.cumulative, up_to=span))
    frame = Frame(key=f"price-{price.id}", title="Price against quantity", unit=currency, across="Units")
    edges = sorted({each.lower_limit for each in (*now.pricing_bands, *value.pricing_bands)})
    return price_steps(frame, curves, edges=edges, quantity=used)


def charges_of(plan: Plan, template: PlanTemplate, kept: Candidate | None) -> dict[str, Decimal | None]:
    """The charges of the plan for the form, as a kept candidate has them; what is the template's stays empty."""
    value = plan
    for each in kept.plans if kept else ():
        value = each.on(value)
    return {
        "standingCharge": value.standing_charge,
        "minimumSpend": value.minimum_spend,
        "maximumSpend": value.maximum_spend,
    }


def besides_of(form: Form) -> Besides:
    """What is asked about all accounts: how much a bill may rise at most, and by what customers are told apart."""
    percent, segment = form.decimal("capPercent"), form.text("segmentBy")
    if percent is not None and percent < 0:
        raise Refusal("invalid_request", "capPercent: give a percentage of 0 or more", field="capPercent")
    if segment is not None and not SEGMENT_BY.fullmatch(segment):
        message = "segmentBy: give plan, product, billingFrequency, or customFields. and the name of a custom field"
        raise Refusal("invalid_request", message, field="segmentBy")
    return Besides(cap=None if percent is None else Cap(percent=percent), segment_by=(segment,) if segment else ())
