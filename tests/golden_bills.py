"""Stories whose bills are kept as text files in tests/golden, for people who know pricing and not Python.

Each story states its total, reckoned by hand. `python tests/golden_bills.py` writes the files anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from billing_world import ACCOUNT, Answerer, Event, World, always, at, bands, by_field, id_of, lines_of, summing
from golden_credits import CREDIT_STORIES, CreditStory
from golden_families import FAMILY_STORIES, FamilyStory
from tallystick.core.aggregation import Method, TimeUnit, UnitRounding
from tallystick.core.catalog import PricingType
from tallystick.core.contract import PriceProtection
from tallystick.core.explain import explain_line
from tallystick.core.organization import CurrencyConversion
from tallystick.core.period import local_day
from tallystick.core.price_forms import Package, Rate
from tallystick.core.quantity import total
from tallystick.core.rating import RatedLine
from tallystick.core.terms import Terms
from tallystick.ports import UsageRow
from tallystick.stores.plain_aggregation import measure

FILES = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Story:
    """One bill: who agreed to what, what was used, what it comes to."""

    name: str
    told: str
    total: str
    build: Callable[[], tuple[World, str, Answerer]]

    def bill(self) -> tuple[Terms, tuple[RatedLine, ...]]:
        world, day, answer = self.build()
        terms = world.terms(day)
        return terms, lines_of(terms, answer)


def render(story: Story | CreditStory | FamilyStory) -> str:
    """The bill as a page of text."""
    terms, lines = story.bill()
    first, end = (local_day(each, terms.zone) for each in terms.period)
    amount = terms.billed(total(line.item.converted_subtotal for line in lines))
    page = [story.told, "", f"{terms.account.value.name}, {first} up to {end} ({terms.zone}), in {terms.currency}", ""]
    for line in lines:
        item = line.item
        start, stop = item.service_period_start_date, item.service_period_end_date
        assert start is not None
        assert stop is not None
        service = f"{local_day(start, terms.zone)} up to {local_day(stop, terms.zone)}"
        left = f"{item.sequence_number:>2}  {item.line_item_type:<21} {item.description:<36} {service}"
        page.append(f"{left} {item.converted_subtotal:>12,f}")
    page += [f"{'Total':<86} {amount:>12,f}", ""]
    for line in lines:
        explanation = explain_line(line.item, line.working)
        page.append(f"{explanation.sequence_number:>2}  {explanation.sentence}")
        page += [f"    - {step}" for step in explanation.steps]
    return "\n".join(page) + "\n"


def _simple(price_bands: object, *, cumulative: bool, **aggregation: object) -> World:
    world = World()
    world.aggregation("API calls", **aggregation)  # type: ignore[arg-type]  # passed on as they are
    world.plan()
    world.pricing("price", price_bands, cumulative=cumulative)  # type: ignore[arg-type]  # built by bands()
    world.account()
    world.account_plan()
    return world


CALLS = bands((0, "0.02"), (5000, "0.015"), (20000, "0.01"))


def _tiered() -> tuple[World, str, Answerer]:
    return _simple(CALLS, cumulative=True), "2023-03-10", always(15000)


def _volume() -> tuple[World, str, Answerer]:
    return _simple(CALLS, cumulative=False), "2023-03-10", always(15000)


def _three_tiers() -> tuple[World, str, Answerer]:
    world = _simple(bands((0, "1.00"), (1000, "0.50"), (5000, "0.25")), cumulative=True)
    return world, "2023-03-10", always(10000)


def _stairstep() -> tuple[World, str, Answerer]:
    steps = bands((0, 0, 50), (1000, 0, 100), (5000, 0, 200), (10000, 0, 300))
    return _simple(steps, cumulative=False), "2023-03-10", always(7500)


def _packages() -> tuple[World, str, Answerer]:
    world = _simple(bands((0, "0.25")), cumulative=False, quantity_per_unit=Decimal(500), rounding=UnitRounding.UP)
    return world, "2023-03-10", always(48900)


def _tokens(given: int, made: int) -> Callable[[], tuple[World, str, Answerer]]:
    def build() -> tuple[World, str, Answerer]:
        world = World()
        world.product("LLM")
        meter = world.meter("tokens", ("input", "output"))
        per = {"quantity_per_unit": Decimal(1_000_000), "unit": "million tokens"}
        incoming = world.aggregation("Input tokens", meter, target_field="input", **per)
        outgoing = world.aggregation("Output tokens", meter, target_field="output", **per)
        world.template(standing_charge=Decimal("20.00"), standing_charge_description="Platform fee")
        world.plan()
        world.pricing("input", bands((0, "3.00"), (10, "2.50")), aggregation_id=incoming.id, cumulative=True)
        world.pricing("output", bands((0, "15.00"), (1, "12.00")), aggregation_id=outgoing.id)
        world.account()
        world.account_plan(start="2023-11-01")
        return world, "2023-11-15", by_field(input=given, output=made)

    return build


def _standing(start: str, end: str | None, day: str) -> Callable[[], tuple[World, str, Answerer]]:
    def build() -> tuple[World, str, Answerer]:
        world = World()
        world.template(standing_charge=Decimal(500))
        world.plan()
        world.account()
        world.account_plan(start=start, **({"end_date": end} if end else {}))
        return world, day, always(None)

    return build


def _minimum(used: int, **template: object) -> Callable[[], tuple[World, str, Answerer]]:
    def build() -> tuple[World, str, Answerer]:
        world = World()
        world.template(minimum_spend=Decimal(10_000), **template)  # type: ignore[arg-type]  # passed on as they are
        world.plan()
        world.aggregation("API calls")
        world.pricing("price", bands((0, 1)))
        world.account()
        world.account_plan()
        return world, "2023-03-10", always(used)

    return build


def _converted() -> tuple[World, str, Answerer]:
    world = _simple(bands((0, "0.0333")), cumulative=True)
    world.currency("EUR", 2)
    world.config(currency_conversions=(CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal("0.925")),))
    world.account(currency="EUR")
    return world, "2023-03-10", always(1234)


def _segments() -> tuple[World, str, Answerer]:
    world = World()
    meter = world.meter("requests", ("calls",), ("region",))
    regions = ({"region": "EU"}, {"region": "US"}, {"region": "*"})
    world.aggregation("API calls", meter, segmented_fields=("region",), segments=regions)
    world.plan()
    for price, segment in zip(("0.03", "0.02", "0.05"), regions, strict=True):
        world.pricing(segment["region"], bands((0, price)), segment=segment)
    world.account()
    world.account_plan()
    found = [
        Event(at("2023-03-02"), Decimal(calls), (region,))
        for region, calls in (("EU", 1000), ("US", 2000), ("BR", 100), ("JP", 10))
    ]
    return world, "2023-03-10", summing(found)


def _spanning() -> tuple[World, str, Answerer]:
    world = World()
    world.aggregation("API calls")
    world.plan()
    world.pricing("price", bands((0, "1.00"), (1000, "0.50")), cumulative=True, tiers_span_plan=True)
    world.account()
    world.account_plan(start="2023-01-01")
    used = [Event(at(f"2023-0{month}-10"), Decimal(600)) for month in (1, 2, 3)]
    return world, "2023-02-15", summing(used)


def _price_change() -> tuple[World, str, Answerer]:
    world = World()
    world.aggregation("API calls")
    world.plan()
    world.pricing("old", bands((0, "0.10")), end_date=at("2023-03-16"))
    world.pricing("new", bands((0, "0.20")), start_date=at("2023-03-16"))
    world.account()
    world.account_plan()
    used = [Event(at("2023-03-15T23:59:59.999Z"), Decimal(100)), Event(at("2023-03-16"), Decimal(50))]
    return world, "2023-03-10", summing(used)


def _credits() -> tuple[World, str, Answerer]:
    world = World()
    world.product("API")
    meter = world.meter("requests", ("calls", "failures"))
    charged = world.aggregation("API calls", meter)
    failed = world.aggregation("Failed calls", meter, target_field="failures")
    world.plan()
    world.pricing("price", bands((0, "0.10")), aggregation_id=charged.id)
    world.pricing("credit", bands((0, "0.25")), aggregation_id=failed.id, type=PricingType.PRODUCT_CREDIT)
    world.account()
    world.account_plan()
    return world, "2023-03-10", by_field(calls=1000, failures=900)


def _free_per_application() -> tuple[World, str, Answerer]:
    world = World()
    world.product("Hosting")
    meter = world.meter("hosting", ("requests", "apps"))
    world.aggregation("requests", meter, target_field="requests", unit="requests")
    world.aggregation("apps", meter, target_field="apps", aggregation=Method.MAX, unit="apps")
    billable = world.compound("Billable requests", "aggregation.requests - 100 * aggregation.apps", unit="requests")
    world.plan()
    world.pricing("price", bands((0, "0.01")), compound_aggregation_id=billable.id)
    world.account()
    world.account_plan()
    return world, "2023-03-10", by_field(requests=1250, apps=3)


def _of_form(*, texts: tuple[str, ...] = (), **pricing: object) -> World:
    """One aggregation priced by one of the forms beside bands."""
    world = World()
    meter = world.meter("sales", ("amount",), texts)
    world.aggregation("Sales", meter, target_field="amount", unit="units", segmented_fields=texts)
    world.plan()
    world.pricing("price", (), **pricing)
    world.account()
    world.account_plan()
    return world


def _percentage() -> tuple[World, str, Answerer]:
    bounds = {"minimum_spend": Decimal(25), "maximum_spend": Decimal(1000)}
    return _of_form(percent=Decimal("2.9"), **bounds), "2023-03-10", always(50_000)


def _packages_free() -> tuple[World, str, Answerer]:
    package = Package(size=Decimal(500), price=Decimal("0.25"))
    return _of_form(package=package, free_units=Decimal(1000)), "2023-03-10", always(48_900)


def _matrix() -> tuple[World, str, Answerer]:
    names = ("model", "region", "tier")
    table = {("large", "EU", "gold"): "0.03", ("large", "US", "gold"): "0.02", ("small", "EU", "free"): "0.002"}
    rates = tuple(
        Rate(dimensions=dict(zip(names, values, strict=True)), unit_price=Decimal(price))
        for values, price in table.items()
    )
    used = [
        Event(at("2023-03-02"), Decimal(amount), segment)
        for amount, segment in (
            (1000, ("large", "EU", "gold")),
            (500, ("large", "US", "gold")),
            (7, ("x", "EU", "free")),
        )
    ]
    return _of_form(texts=names, rates=rates, default_unit_price=Decimal(1)), "2023-03-10", summing(used)


def _allowance() -> tuple[World, str, Answerer]:
    world = _simple(CALLS, cumulative=True)
    world.pricing("price", CALLS, cumulative=True, free_units=Decimal(2500))
    return world, "2023-03-10", always(15_000)


def _replaced(first: str, then: str) -> Callable[[], tuple[World, str, Answerer]]:
    def build() -> tuple[World, str, Answerer]:
        world = World()
        world.template(standing_charge=Decimal(300))
        world.aggregation("API calls")
        plans = {"Basic": world.plan("Basic"), "Pro": world.plan("Pro", standing_charge=Decimal(600))}
        for name, price in (("Basic", "0.10"), ("Pro", "0.05")):
            words = {"description": f"API calls ({name})", "plan_id": plans[name].id}
            world.pricing(name, bands((0, price)), **words)
        world.account()
        world.account_plan(plans[first], start="2023-01-01", end_date="2023-04-11")
        world.account_plan(plans[then], start="2023-04-11")
        used = [Event(at("2023-04-10T23:59:59.999Z"), Decimal(1000)), Event(at("2023-04-11"), Decimal(2000))]
        return world, "2023-04-20", summing(used)

    return build


def _counters() -> tuple[World, str, Answerer]:
    world = World()
    world.template()
    world.plan()
    world.counter("seats")
    world.counter_pricing("price", bands((0, 2), (20, 3)), cumulative=True, description="Seats")
    world.account()
    world.account_plan(start="2024-01-01")
    for day, level in (("2024-05-20", 15), ("2024-06-15", 22), ("2024-06-25", 18)):
        world.level(day, level)
    return world, "2024-06-10", always(None)


def _plan_group() -> tuple[World, str, Answerer]:
    world = World()
    plans = []
    for name in ("Calls", "Storage"):
        meter = world.meter(name.lower(), (name.lower(),))
        aggregation = world.aggregation(name, meter, target_field=name.lower())
        plans.append(world.plan(name, world.template(name, world.product(name), standing_charge=Decimal(10))))
        world.pricing(name, bands((0, 1)), plan_id=plans[-1].id, aggregation_id=aggregation.id)
    group = world.plan_group(*plans, name="Bundle", standing_charge=Decimal(30), minimum_spend=Decimal(250))
    world.account()
    contract = world.contract("Frame", purchase_order_number="PO-7")
    world.account_plan(group, start="2023-04-16", contract_id=contract.id)
    return world, "2023-04-20", by_field(calls=70, storage=20)


def _stored(world: World, meter: str, *used: tuple[str, int, str]) -> Answerer:
    """What a usage store answers that holds (moment, GB, bucket)."""
    rows = [
        UsageRow(
            position=1,
            organization_id=world.organization_id,
            meter_id=id_of("meter", meter),
            account_id=id_of("account", ACCOUNT),
            uid=str(place),
            ts=at(when),
            ets=None,
            received=at(when),
            numbers={"gigabytes": Decimal(size)},
            texts={"bucket": bucket},
        )
        for place, (when, size, bucket) in enumerate(used)
    ]
    return lambda question: measure(rows, question)


def _gauges() -> tuple[World, str, Answerer]:
    world = World()
    meter = world.meter("storage", ("gigabytes",), ("bucket",))
    held = {"target_field": "gigabytes", "gauge_field": "bucket", "unit": "GB"}
    hours = world.aggregation(
        "Stored GB-hours",
        meter,
        aggregation=Method.TIME_WEIGHTED_SUM,
        time_unit=TimeUnit.HOUR,
        **held | {"unit": "GB-hours"},
    )
    mean = world.aggregation("Average GB", meter, aggregation=Method.TIME_WEIGHTED_MEAN, **held)
    seats = world.aggregation("GB at the end", meter, carry_forward=True, aggregation=Method.LATEST, **held)
    world.plan()
    world.pricing("hours", bands((0, "0.001")), aggregation_id=hours.id)
    world.pricing("mean", bands((0, "0.10")), aggregation_id=mean.id)
    world.pricing("end", bands((0, "0.05")), aggregation_id=seats.id)
    world.account()
    world.account_plan()
    return (
        world,
        "2023-04-10",
        _stored(
            world,
            "storage",
            ("2023-01-20", 100, "photos"),
            ("2023-02-01", 30, "backups"),
            ("2023-04-11", 0, "backups"),
            ("2023-04-16", 160, "photos"),
        ),
    )


def _seat_months() -> tuple[World, str, Answerer]:
    world = World()
    meter = world.meter("seats", ("gigabytes",), ("bucket",))
    world.aggregation(
        "Seats",
        meter,
        target_field="gigabytes",
        aggregation=Method.TIME_WEIGHTED_SUM,
        time_unit=TimeUnit.PERIOD,
        unit="seat-months",
    )
    world.plan()
    world.pricing("old", bands((0, 30)), end_date=at("2023-04-16"))
    world.pricing("new", bands((0, 36)), start_date=at("2023-04-16"))
    world.account()
    world.account_plan()
    return (
        world,
        "2023-04-10",
        _stored(world, "seats", ("2023-02-10", 10, ""), ("2023-04-11", 12, ""), ("2023-04-26", 9, "")),
    )


def _protected() -> tuple[World, str, Answerer]:
    world = _simple(bands((0, "0.05")), cumulative=False)
    year = {"start_date": date(2023, 1, 1), "end_date": date(2024, 1, 1)}
    protection = PriceProtection(baseline=Decimal(500), maximum_increase_percent=Decimal(20), **year)
    contract = world.contract("Renewal", price_protection=protection)
    world.account_plan(contract_id=contract.id)
    return world, "2023-03-10", always(14_628)


def _discounts() -> tuple[World, str, Answerer]:
    world = _simple(bands((0, "0.10")), cumulative=False)
    world.template(standing_charge=Decimal(100))
    world.discount("Founders", percent=Decimal(20))
    world.discount("Goodwill", amount=Decimal(62), start_date=at("2023-03-17"), end_date=at("2023-04-01"))
    return world, "2023-03-10", always(1000)


def _condition() -> tuple[World, str, Answerer]:
    world = World()
    world.product("Cloud")
    meter = world.meter("cloud", ("hours", "gigabytes"))
    compute = world.aggregation("Compute", meter, target_field="hours", unit="hours")
    world.aggregation("storage", meter, target_field="gigabytes", aggregation=Method.MAX)
    world.plan()
    world.pricing("list", bands((0, "2.00")), aggregation_id=compute.id)
    condition = {"condition": "aggregation.storage > 100", "description": "Compute beside storage"}
    world.pricing("large", bands((0, "1.50")), aggregation_id=compute.id, **condition)
    world.account()
    world.account_plan()
    return world, "2023-03-10", by_field(hours=80, gigabytes=120)


def _retries() -> tuple[World, str, Answerer]:
    world = World()
    meter = world.meter("payments", ("gigabytes",), ("bucket",))
    world.aggregation(
        "Transactions",
        meter,
        target_field="gigabytes",
        aggregation=Method.CORRELATED_COUNT,
        correlation_field="bucket",
        success_filter="gigabytes > 0",
        window_seconds=3600,
        unit="transactions",
    )
    world.plan()
    world.pricing("price", bands((0, "0.46")))
    world.account()
    world.account_plan()
    attempts = [
        ("2023-03-31T23:50Z", 0, "pay-1"),  # begun in March, paid in April
        ("2023-04-01T00:10Z", 1, "pay-1"),
        *((f"2023-04-05T12:0{minute}Z", 0, "pay-2") for minute in range(9)),
        ("2023-04-05T12:09Z", 1, "pay-2"),
        ("2023-04-06T12:00Z", 0, "pay-3"),
        ("2023-04-07T12:00Z", 1, "pay-4"),
        ("2023-04-07T12:01Z", 1, "pay-4"),
        ("2023-04-08T12:00Z", 1, "pay-4"),  # the same once more, a day later
    ]
    return world, "2023-04-10", _stored(world, "payments", *attempts)


STORIES = (
    Story(
        "calls_tiered", "15,000 calls: to 5,000 at 0.02, to 20,000 at 0.015, above at 0.01; tiered.", "250.00", _tiered
    ),
    Story(
        "calls_volume", "15,000 calls: to 5,000 at 0.02, to 20,000 at 0.015, above at 0.01; volume.", "225.00", _volume
    ),
    Story("three_tiers", "10,000 units: 1,000 at 1.00, 4,000 at 0.50, 5,000 at 0.25.", "4250.00", _three_tiers),
    Story("stairstep", "7,500 units, the step from 5,001 to 10,000 costs 200.", "200.00", _stairstep),
    Story("packages", "48,900 units in packages of 500 at 0.25, a started package counts.", "24.50", _packages),
    Story("tokens_code", "Real traffic of the account code, November 2023.", "73.84", _tokens(18_059_974, 245_896)),
    Story("tokens_conv", "Real traffic of the account conv, November 2023.", "129.96", _tokens(22_361_870, 4_088_665)),
    Story(
        "fee_april", "500 a month, the plan runs from 16 April.", "250.00", _standing("2023-04-16", None, "2023-04-20")
    ),
    Story(
        "fee_january",
        "500 a month, the plan runs from 16 January.",
        "258.06",
        _standing("2023-01-16", None, "2023-01-20"),
    ),
    Story("minimum_missed", "A minimum of 10,000 and usage of 7,500.", "10000.00", _minimum(7_500)),
    Story("minimum_reached", "A minimum of 10,000 and usage of 12,000.", "12000.00", _minimum(12_000)),
    Story(
        "minimum_in_advance",
        "A minimum of 10,000 paid in advance and usage of 7,500: the next minimum is added, the charges given back.",
        "10000.00",
        _minimum(7_500, minimum_spend_bill_in_advance=True),
    ),
    Story("conversion", "1,234 calls at 0.0333 USD, billed in EUR at 0.925.", "38.01", _converted),
    Story("segments", "Calls by region: EU 0.03, US 0.02, everywhere else 0.05.", "75.50", _segments),
    Story(
        "tiers_span_plan",
        "600 calls a month, 1.00 up to 1,000 over the life of the plan, then 0.50.",
        "500.00",
        _spanning,
    ),
    Story("price_change", "0.10 a call, from 16 March 0.20.", "20.00", _price_change),
    Story(
        "upgrade",
        "From Basic (300, 0.10 a call) to Pro (600, 0.05 a call) on 11 April: 10 days of the one, 20 of the other.",
        "700.00",
        _replaced("Basic", "Pro"),
    ),
    Story(
        "downgrade",
        "From Pro (600, 0.05 a call) to Basic (300, 0.10 a call) on 11 April: 10 days of the one, 20 of the other.",
        "650.00",
        _replaced("Pro", "Basic"),
    ),
    Story(
        "counters",
        "Seats at 2.00, from the 21st at 3.00: 15 until 14 June (paid in May), 22 to 24 June, then 18, paid for July.",
        "42.53",
        _counters,
    ),
    Story(
        "plan_group",
        "Two plans of 10 each in a group of 30, with a minimum of 250 across them, from 16 April: half of each.",
        "125.00",
        _plan_group,
    ),
    Story(
        "product_credit",
        "1,000 calls at 0.10; 900 failed ones give back 0.25 each, at most what was charged.",
        "0.00",
        _credits,
    ),
    Story("percentage", "2.9% of sales of 50,000, at least 25 and at most 1,000 a month.", "1000.00", _percentage),
    Story(
        "packages_free",
        "48,900 units, 1,000 of them free, in packages of 500 at 0.25; a started package counts.",
        "24.00",
        _packages_free,
    ),
    Story("matrix", "A rate by model, region and tier; 1.00 for what has no rate.", "47.00", _matrix),
    Story(
        "allowance",
        "15,000 calls, 2,500 of them free; the next 5,000 at 0.02, to 20,000 at 0.015; tiered.",
        "212.50",
        _allowance,
    ),
    Story(
        "gauges",
        "100 GB of photos since January, 160 from 16 April; 30 GB of backups since February, deleted on 11 April. "
        "A GB-hour is 0.001, an average GB 0.10, a GB at the month's end 0.05.",
        "122.80",
        _gauges,
    ),
    Story(
        "seat_months",
        "10 seats since February, 12 from 11 April, 9 from 26 April; a seat-month is 30, from 16 April 36.",
        "358.00",
        _seat_months,
    ),
    Story(
        "retries",
        "Transactions at 0.46: attempts of one payment within an hour are one, if one of them succeeds.",
        "1.84",
        _retries,
    ),
    Story(
        "price_protection",
        "A new price that would come to 731.40; the old 500 are protected: at most 20% above.",
        "600.00",
        _protected,
    ),
    Story(
        "discounts", "A fee of 100 and calls for 100; 20% off, then 62 a month off from 17 March.", "130.00", _discounts
    ),
    Story(
        "condition",
        "80 hours of compute at 2.00, or at 1.50 in a month with more than 100 GB of storage; there are 120.",
        "120.00",
        _condition,
    ),
    Story(
        "free_per_application",
        "1,250 requests at 0.01, less 100 free for each of the at most 3 hosted applications.",
        "9.50",
        _free_per_application,
    ),
)


ALL = (*STORIES, *CREDIT_STORIES, *FAMILY_STORIES)


def write(stories: Iterable[Story | CreditStory | FamilyStory] = ALL) -> None:
    """Write the golden files anew, after a change that was meant."""
    for story in stories:
        (FILES / f"{story.name}.txt").write_text(render(story), encoding="utf-8")


if __name__ == "__main__":
    write()
    print(f"{len(ALL)} bills written to {FILES}; {id_of('account', 'acme')} is the account of all of them")
