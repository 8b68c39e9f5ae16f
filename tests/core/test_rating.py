"""Usage becomes lines: windows, units, segments, spans, currencies, credits. Amounts are reckoned by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing_world import Event, World, always, amounts, at, bands, by_field, id_of, lines_of, measured, summing
from tallystick.core.aggregation import Measured, Method, Question, UnitRounding
from tallystick.core.bill import BillParameters, LineItemType
from tallystick.core.catalog import PricingType
from tallystick.core.money import RoundingMode
from tallystick.core.organization import CurrencyConversion
from tallystick.core.rating import questions
from tallystick.core.working import Counted, Divided, Rounded
from tallystick.errors import Refusal

RATE = CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal("0.5"))


def calls(price: str = "1.00", **aggregation: object) -> World:
    """One product, one aggregation at a flat price, one customer since 2023."""
    world = World()
    world.aggregation("calls", **aggregation)  # type: ignore[arg-type]  # passed on as they are
    world.plan()
    world.pricing("price", bands((0, price)))
    world.account()
    world.account_plan()
    return world


@pytest.mark.parametrize(
    ("aggregation", "total", "count", "value", "units", "amount"),
    [
        ({}, "12.5", 3, "12.5", "12.5", "12.50"),
        ({"quantity_per_unit": Decimal(500), "rounding": UnitRounding.UP}, "48900", 1, "48900", "98", "98.00"),
        ({"quantity_per_unit": Decimal(500), "rounding": UnitRounding.DOWN}, "48900", 1, "48900", "97", "97.00"),
        ({"quantity_per_unit": Decimal(2), "rounding": UnitRounding.NEAREST}, "7", 1, "7", "4", "4.00"),
        ({"aggregation": Method.MEAN}, "10", 4, "2.5", "2.5", "2.50"),
        ({"aggregation": Method.MEAN}, "1", 3, "0." + "3" * 50, "0." + "3" * 50, "0.33"),
        ({"aggregation": Method.MAX}, "7", 4, "7", "7", "7.00"),
        ({"aggregation": Method.COUNT}, "4", 4, "4", "4", "4.00"),
        ({"default_value": Decimal(3)}, "0", 2, "0", "0", "0.00"),
        ({}, "-2", 1, "-2", "-2", "-2.00"),
    ],
)
def test_measured_value_becomes_units_and_money(
    aggregation: dict[str, object], total: str, count: int, value: str, units: str, amount: str
) -> None:
    (line,) = lines_of(calls(**aggregation).terms("2023-03-05"), lambda asked: [measured(asked, total, count=count)])  # type: ignore[arg-type]  # a table of keywords
    assert (line.item.quantity, line.item.units) == (Decimal(value), Decimal(units))
    assert str(line.item.subtotal) == amount


@pytest.mark.parametrize(("default", "expected"), [(None, []), (0, ["0.00"]), (3, ["3.00"])])
def test_nothing_measured_takes_the_default_value_or_gives_no_line(default: int | None, expected: list[str]) -> None:
    world = calls(default_value=None if default is None else Decimal(default))
    lines = lines_of(world.terms("2023-03-05"), always(None))
    assert [str(line.item.subtotal) for line in lines] == expected
    assert all(line.working[0].count == 0 for line in lines if isinstance(line.working[0], Counted))


def test_default_of_zero_pays_the_first_fixed_price() -> None:
    world = calls(default_value=Decimal(0))
    world.pricing("price", bands((0, 0, 12), (4, 0, 25)))
    assert amounts(lines_of(world.terms("2023-03-05"), always(None))) == [("USAGE", "calls", "12.00")]


# ------------------------------------------------------------------------------------------------------ windows


def asked_windows(world: World, day: str) -> list[str]:
    periods = [question.period for question in questions(world.terms(day), 7)]
    return [f"{period.start.wire()[:16]} {period.end.wire()[:16]}" for period in periods]


def test_window_is_what_the_period_the_account_plan_and_the_pricing_have_in_common() -> None:
    world = World()
    world.aggregation()
    world.plan()
    world.pricing("first", bands((0, 1)), start_date=at("2023-01-01"), end_date=at("2023-03-20"))
    world.pricing("second", bands((0, 2)), start_date=at("2023-03-20"))
    world.account()
    world.account_plan(start="2023-03-05T12:00:00Z", end_date="2023-04-10")
    assert asked_windows(world, "2023-03-10") == [
        "2023-03-05T12:00 2023-03-20T00:00",
        "2023-03-20T00:00 2023-04-01T00:00",
    ]
    assert asked_windows(world, "2023-04-10") == ["2023-04-01T00:00 2023-04-10T00:00"]


@pytest.mark.parametrize(
    ("zone", "day", "window"),
    [
        ("Europe/Berlin", "2023-03-15", "2023-02-28T23:00 2023-03-31T22:00"),  # clocks go forward inside
        ("Europe/Berlin", "2023-10-15", "2023-09-30T22:00 2023-10-31T23:00"),  # and back
        ("America/New_York", "2023-11-02", "2023-11-01T04:00 2023-12-01T05:00"),
        ("Asia/Kolkata", "2024-02-29", "2024-01-31T18:30 2024-02-29T18:30"),
    ],
)
def test_billing_periods_are_those_of_the_organisation_time_zone(zone: str, day: str, window: str) -> None:
    world = calls()
    world.config(timezone=zone)
    assert asked_windows(world, day) == [window]


def test_job_time_zone_and_epoch_go_before_those_of_the_organisation() -> None:
    world = calls()
    parameters = BillParameters(timezone="Asia/Kolkata", month_epoch=at("2022-01-15").date())
    (question,) = questions(world.terms("2023-03-20", parameters=parameters), 7)
    assert question.period.start == at("2023-03-14T18:30:00Z")


def test_every_question_names_the_journal_position_and_no_account() -> None:
    (question,) = questions(calls(filter="region == 'EU'").terms("2023-03-05"), 41)
    assert (question.up_to, question.accounts, question.filter) == (41, None, "region == 'EU'")


# ------------------------------------------------------------------------------------------------------ overriding


def test_plan_pricing_takes_the_place_of_the_template_pricing_while_it_holds() -> None:
    world = World()
    world.aggregation("calls")
    template = world.template()
    world.plan()
    world.pricing("of template", bands((0, "1.00")), plan_template_id=template.id)
    world.pricing("of plan", bands((0, "0.50")), start_date=at("2023-03-11"), end_date=at("2023-03-21"))
    world.account()
    world.account_plan()
    used = [Event(at(f"2023-03-{day:02}"), Decimal(1)) for day in range(1, 32)]
    lines = lines_of(world.terms("2023-03-05"), summing(used))
    assert [str(line.item.subtotal) for line in lines] == ["10.00", "5.00", "11.00"]


@pytest.mark.parametrize(
    ("own", "segment", "text"),
    [(None, "EU", "calls (EU)"), ("European calls", "EU", "European calls"), ("Other calls", "*", "Other calls (EU)")],
)
def test_description_of_a_segment(own: str | None, segment: str, text: str) -> None:
    world = segmented(({"region": segment}, "1.00", own))
    lines = lines_of(world.terms("2023-03-05"), summing([Event(at("2023-03-02"), Decimal(1), ("EU",))]))
    assert [line.item.description for line in lines] == [text]
    assert lines[0].item.segment == {"region": "EU"}


def segmented(*prices: tuple[dict[str, str] | None, str, str | None]) -> World:
    world = World()
    meter = world.meter("requests", ("calls",), ("region",))
    known = tuple(segment for segment, _, _ in prices if segment)
    world.aggregation("calls", meter, segmented_fields=("region",), segments=known)
    world.plan()
    for segment, price, text in prices:
        world.pricing(f"{segment}", bands((0, price)), segment=segment, description=text)
    world.account()
    world.account_plan()
    return world


def by_region(**values: int) -> list[Event]:
    return [Event(at("2023-03-02"), Decimal(value), (region,)) for region, value in values.items()]


def test_pricing_without_a_segment_charges_the_whole_aggregation_as_one() -> None:
    lines = lines_of(segmented((None, "1.00", None)).terms("2023-03-05"), summing(by_region(EU=3, US=4)))
    assert amounts(lines) == [("USAGE", "calls", "7.00")]


def test_segment_without_a_pricing_is_not_charged() -> None:
    lines = lines_of(segmented(({"region": "EU"}, "1.00", None)).terms("2023-03-05"), summing(by_region(EU=3, US=4)))
    assert amounts(lines) == [("USAGE", "calls (EU)", "3.00")]


def test_wildcard_charges_each_segment_that_no_other_pricing_names() -> None:
    world = segmented(({"region": "EU"}, "1.00", None), ({"region": "*"}, "2.00", None))
    lines = lines_of(world.terms("2023-03-05"), summing(by_region(EU=3, US=4, BR=5)))
    assert amounts(lines) == [
        ("USAGE", "calls (BR)", "10.00"),
        ("USAGE", "calls (EU)", "3.00"),
        ("USAGE", "calls (US)", "8.00"),
    ]


# ------------------------------------------------------------------------------------------------------ spanning


def spanning(**aggregation: object) -> World:
    world = World()
    world.aggregation("calls", **aggregation)  # type: ignore[arg-type]  # passed on as they are
    world.plan()
    world.pricing("price", bands((0, "1.00"), (10, "0.50")), cumulative=True, tiers_span_plan=True)
    world.account()
    world.account_plan(start="2023-01-15")
    return world


SIX_A_MONTH = [Event(at(f"2023-0{month}-20"), Decimal(6)) for month in (1, 2, 3)]


@pytest.mark.parametrize(
    ("day", "units", "amount"),
    [("2023-01-20", 6, "6.00"), ("2023-02-20", 6, "5.00"), ("2023-03-20", 6, "3.00")],  # 6, 4 + 2/2, 6/2
)
def test_bands_that_span_the_plan_go_on_where_the_last_bill_ended(day: str, units: int, amount: str) -> None:
    (line,) = lines_of(spanning().terms(day), summing(SIX_A_MONTH))
    assert (line.item.units, str(line.item.subtotal)) == (units, amount)


def test_spanning_bands_ask_about_the_time_before_as_one() -> None:
    windows = [question.period for question in questions(spanning().terms("2023-04-01"), 7)]
    assert windows == [(at("2023-04-01"), at("2023-05-01")), (at("2023-01-15"), at("2023-04-01"))]


def test_maximum_that_spans_the_plan_adds_up_the_units_of_each_bill() -> None:
    def seats(question: Question) -> list[Measured]:
        inside = [event.value for event in SIX_A_MONTH if question.period.start <= event.when < question.period.end]
        return [measured(question, max(inside))] if inside else []

    (line,) = lines_of(spanning(aggregation=Method.MAX).terms("2023-03-01"), seats)
    assert str(line.item.subtotal) == "3.00"


def test_rounding_up_that_spans_the_plan_rounds_the_quantity_so_far() -> None:
    """5 + 5 + 5 calls in packages of 2: 3, then 5, then 8 so far; the bills add up to the price of 8."""
    world = spanning(quantity_per_unit=Decimal(2), rounding=UnitRounding.UP)
    used = [Event(at(f"2023-0{month}-20"), Decimal(5)) for month in (1, 2, 3)]
    lines = [lines_of(world.terms(f"2023-0{month}-20"), summing(used))[0].item for month in (1, 2, 3)]
    assert [(int(line.units), str(line.subtotal)) for line in lines] == [(3, "3.00"), (2, "2.00"), (3, "3.00")]


# ------------------------------------------------------------------------------------------------------ money


def test_line_is_rounded_once_in_each_currency() -> None:
    world = calls("0.333")
    world.config(currency_conversions=(RATE,))
    world.account(currency="EUR")
    (line,) = lines_of(world.terms("2023-03-05"), always(1))
    item = line.item
    assert (str(item.subtotal), str(item.converted_subtotal)) == ("0.33", "0.17")  # 0.1665, not 0.33 / 2
    assert (item.currency, item.conversion_rate) == ("USD", Decimal("0.5"))
    assert item.usage_per_pricing_band is not None
    assert item.usage_per_pricing_band[0].converted_band_subtotal == Decimal("0.1665")


@pytest.mark.parametrize(
    ("places", "mode", "amount"),
    [(0, RoundingMode.HALF_UP, "1235"), (3, RoundingMode.DOWN, "1234.567"), (2, RoundingMode.UP, "1234.57")],
)
def test_currency_settings_decide_the_rounding(places: int, mode: RoundingMode, amount: str) -> None:
    world = calls("1234.5675")
    world.currency("USD", places, mode)
    (line,) = lines_of(world.terms("2023-03-05"), always(1))
    assert str(line.item.subtotal) == amount
    assert isinstance(line.working[-1], Rounded)


def test_forbidden_rounding_refuses_the_bill() -> None:
    world = calls("0.333")
    world.currency("USD", 2, RoundingMode.UNNECESSARY)
    with pytest.raises(Refusal, match=r"currency USD: the amount 0\.333 needs rounding") as refused:
        lines_of(world.terms("2023-03-05"), always(1))
    assert refused.value.code.name == "rounding_forbidden"


@pytest.mark.parametrize("billed_in", ["GBP", "eur", "Eur"])
def test_missing_conversion_rate_refuses_the_bill_and_names_both_currencies(billed_in: str) -> None:
    world = calls()
    world.config(currency_conversions=(RATE,))
    world.account(currency=billed_in)
    with pytest.raises(Refusal, match=f"no conversion rate from 'USD' to '{billed_in}'") as refused:
        lines_of(world.terms("2023-03-05"), always(1))
    assert refused.value.code.name == "missing_conversion_rate"


def test_job_decides_the_currency_and_its_rate() -> None:
    world = calls()
    world.config(currency_conversions=(RATE,))
    own = CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal(2))
    asked = BillParameters(target_currency="EUR", currency_conversions=(own,))
    terms = world.terms("2023-03-05", parameters=asked)
    assert amounts(lines_of(terms, always(3))) == [("USAGE", "calls", "6.00")]
    assert terms.conversions_used() == (own,)


# ------------------------------------------------------------------------------------------------------ credits


def with_credit(kind: PricingType, credit: str) -> World:
    """Two products: 100.00 of calls, 40.00 of storage; the first gives a credit per failed call."""
    world = World()
    meter = world.meter("usage", ("calls", "failed", "stored"))
    api, storage = world.product("API"), world.product("Storage")
    plans = []
    for product, field, price, type_ in (
        (api, "calls", "1.00", PricingType.DEBIT),
        (api, "failed", credit, kind),
        (storage, "stored", "1.00", PricingType.DEBIT),
    ):
        aggregation = world.aggregation(field, meter, target_field=field)
        plan = world.plan(product.value.name, world.template(product.value.name, product))
        world.pricing(field, bands((0, price)), aggregation_id=aggregation.id, plan_id=plan.id, type=type_)
        plans.append(plan)
    world.account()
    for plan in plans:
        world.account_plan(plan)
    return world


@pytest.mark.parametrize(
    ("kind", "credit", "given"),
    [
        (PricingType.PRODUCT_CREDIT, "3.00", "-30.00"),
        (PricingType.PRODUCT_CREDIT, "12.00", "-100.00"),
        (PricingType.GLOBAL_CREDIT, "12.00", "-120.00"),
        (PricingType.GLOBAL_CREDIT, "15.00", "-140.00"),
    ],
)
def test_credit_gives_back_at_most_what_is_charged(kind: PricingType, credit: str, given: str) -> None:
    lines = lines_of(with_credit(kind, credit).terms("2023-03-05"), by_field(calls=100, failed=10, stored=40))
    assert amounts(lines) == [
        ("USAGE", "calls", "100.00"),
        ("USAGE_CREDIT", "failed", given),
        ("USAGE", "stored", "40.00"),
    ]


def test_credit_with_nothing_to_give_back_from_is_zero() -> None:
    lines = lines_of(with_credit(PricingType.PRODUCT_CREDIT, "1.00").terms("2023-03-05"), by_field(failed=10))
    assert amounts(lines) == [("USAGE_CREDIT", "failed", "0.00")]


# ------------------------------------------------------------------------------------------------------ the line


def test_line_says_what_it_is_of_and_keeps_its_working() -> None:
    world = calls("0.02", quantity_per_unit=Decimal(10))
    other = world.product("Books")
    world.aggregation("calls", quantity_per_unit=Decimal(10), accounting_product_id=other.id)
    (line,) = lines_of(world.terms("2023-03-05"), always(25))
    item = line.item
    assert item.line_item_type is LineItemType.USAGE
    assert (item.product_code, item.accounting_product_code, item.unit) == ("api", "books", "calls")
    assert (item.aggregation_id, item.meter_id) == (id_of("aggregation", "calls"), id_of("meter", "requests"))
    assert item.average_unit_price == Decimal("0.02")
    assert item.usage_per_pricing_band is not None
    assert [(band.band_quantity, band.band_units) for band in item.usage_per_pricing_band] == [(25, Decimal("2.5"))]
    assert [type(step).__name__ for step in line.working] == ["Counted", "Divided", "Priced", "Rounded"]
    assert isinstance(line.working[1], Divided)


def test_line_ids_are_the_same_for_the_same_bill_and_differ_within_it() -> None:
    world = with_credit(PricingType.GLOBAL_CREDIT, "1.00")
    used = by_field(calls=100, failed=10, stored=40)
    first, second = (lines_of(world.terms("2023-03-05"), used) for _ in range(2))
    following = lines_of(world.terms("2023-04-05"), used)
    ids = [line.item.id for line in first]
    assert ids == [line.item.id for line in second]
    assert len({*ids, *(line.item.id for line in following)}) == 2 * len(ids)
    assert [line.item.sequence_number for line in first] == [1, 2, 3]
