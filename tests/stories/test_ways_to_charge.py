"""Every way to charge, told as people tell it and held to amounts reckoned by hand: through the official client, on a
real server. Each bill of each story must verify, and explain every line with its amount.

The bills are kept as text files in `golden`, for people who know pricing and not Python;
`WRITE_GOLDEN=1 python -m pytest tests/stories/test_ways_to_charge.py` writes them anew after a change that was meant.
"""

from __future__ import annotations

import calendar
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from m3ter import M3ter
from price_shop import PriceShop, amount, lines, total

FILES = Path(__file__).parent / "golden"


@pytest.fixture
def shop(client: M3ter, http: httpx.Client, request: pytest.FixtureRequest) -> Iterator[PriceShop]:
    """A shop of one's own. Afterwards the bills that were made in it are held against the golden ones."""
    shop = PriceShop(client, http)
    yield shop
    name = request.node.name.removeprefix("test_").replace("[", "_").replace("]", "").replace("-", "_")
    file, story = FILES / f"{name}.txt", inspect.cleandoc(request.function.__doc__)
    told = "\n\n".join([story, *(text for _, text in sorted(shop.pages.items()))])
    if "WRITE_GOLDEN" in os.environ:
        FILES.mkdir(exist_ok=True)
        file.write_text(told, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == told


def last_day(month: int, year: int = 2025) -> str:
    return f"{year}-{month:02}-{calendar.monthrange(year, month)[1]}"


# ------------------------------------------------------------------------------------------------------ wallets


def test_a_trial_of_thirty_days_for_one_feature_then_the_paid_wallet(shop: PriceShop) -> None:
    """100 of trial credit for archive calls only, for 30 days. 70 are used within them; the 30 of the last day, and
    the search, are paid from the wallet of 50: 20 are owed, and 30 of the trial have expired."""
    shop.open("archive", "search")
    shop.join(shop.plan("basic", {"archive": 1, "search": 2}))
    trial = shop.wallet(
        "trial",
        ("2025-01-01", 100),
        end_date="2025-01-31T00:00:00Z",
        extra_body={"aggregationIds": [shop.ids["archive"]], "priority": 1},
    )
    wallet = shop.wallet("wallet", ("2025-01-01", 50))
    shop.use("2025-01-10", archive=70, search=20)
    shop.use("2025-01-31", archive=30)
    january = shop.bill("2025-01-31")
    assert sum(line.converted_subtotal for line in january.line_items if line.line_item_type == "USAGE") == 140
    drawn = {line.balance_id: 0.0 for line in january.line_items if line.balance_id}
    for line in january.line_items:
        if line.balance_id:
            drawn[line.balance_id] += line.converted_subtotal
    assert (drawn, total(january)) == ({trial: -70, wallet: -50}, "20.00")
    assert (shop.left(wallet), shop.left(trial)) == ("0.00", "0.00")
    summary = shop.http.get(f"/balances/{trial}/transactions/summary").json()
    assert (amount(summary["expiredBalanceAmount"]), amount(summary["balanceConsumed"])) == ("30.00", "70.00")
    shop.use("2025-02-03", archive=10)
    assert total(shop.bill("2025-02-28")) == "10.00"


def test_a_service_credit_after_an_outage_is_an_entry_of_the_ledger(shop: PriceShop) -> None:
    """A wallet of 60, and 25 for the outage: usage of 80 leaves 5, and the ledger says why."""
    shop.open("calls")
    shop.join(shop.plan("basic", {"calls": 0.5}))
    wallet = shop.wallet("wallet", ("2025-01-01", 60))
    shop.put_in(wallet, 25, "2025-01-15", "Service credit")
    shop.use("2025-01-20", calls=160)
    january = shop.bill("2025-01-31")
    assert [(kind, money) for kind, _, money in lines(january)] == [("USAGE", "80.00"), ("BALANCE_CONSUMED", "-80.00")]
    assert (total(january), shop.left(wallet)) == ("0.00", "5.00")
    assert sorted(shop.entries(wallet)) == [
        ("BILL", "-80.00"),
        ("SERVICE_USER", "25.00"),
        ("SERVICE_USER", "60.00"),
    ]


def test_a_wallet_for_travel_data_is_topped_up_by_itself_and_part_of_it_rolls_over(shop: PriceShop) -> None:
    """60 for travel data until 15 March, of which 20 may be carried into April; 25 are used before and 30 after, so
    that 10 are owed. The main wallet pays for calls only and keeps 70."""
    shop.open("calls", "megabytes")
    shop.join(shop.plan("mobile", {"calls": 1, "megabytes": 0.25}))
    travel = shop.wallet(
        "travel",
        ("2025-03-01", 20),
        ("2025-03-05", 40),
        end_date="2025-03-16T00:00:00Z",
        rollover_end_date="2025-05-01T00:00:00Z",
        rollover_amount=20,
        extra_body={"aggregationIds": [shop.ids["megabytes"]]},
    )
    main = shop.wallet("main", ("2025-03-01", 100), extra_body={"aggregationIds": [shop.ids["calls"]]})
    shop.use("2025-03-08", megabytes=100, calls=30)
    shop.use("2025-03-20", megabytes=120)
    march = shop.bill("2025-03-31")
    assert total(march) == "10.00"
    assert (shop.left(travel), shop.left(main)) == ("0.00", "70.00")
    summary = shop.http.get(f"/balances/{travel}/transactions/summary").json()
    consumed = [amount(summary[name]) for name in ("balanceConsumed", "rolloverConsumed", "expiredBalanceAmount")]
    assert consumed == ["25.00", "20.00", "15.00"]


def test_a_prepaid_wallet_stops_at_zero(shop: PriceShop) -> None:
    """500 prepaid, 300 used each month: nothing to pay, then 100, then all of it; the wallet never goes below zero."""
    shop.open("calls")
    shop.join(shop.plan("prepaid", {"calls": 0.05}))
    wallet = shop.wallet("wallet", ("2025-01-01", 500))
    for month, owed, left in ((1, "0.00", "200.00"), (2, "100.00", "0.00"), (3, "300.00", "0.00")):
        shop.use(f"2025-{month:02}-10", calls=6000)
        assert (total(shop.bill(last_day(month))), shop.left(wallet)) == (owed, left)


def test_credits_with_a_price_list(shop: PriceShop) -> None:
    """10,000 credits; 5,000 calls at 1 and 200 exports at 5 leave 4,000, and there is nothing to pay."""
    shop.client.currencies.create(name="Credits", code="CRD", max_decimal_places=0)
    config = shop.http.get("/organizationconfig").json()
    rates = [{"from": "CRD", "to": "USD", "multiplier": 0.01}]
    assert shop.http.put("/organizationconfig", json={**config, "currencyConversions": rates}).status_code == 200
    shop.open("calls", "exports")
    shop.join(shop.plan("credits", {"calls": 1, "exports": 5}, currency="CRD"))
    wallet = shop.wallet("credits", ("2025-01-01", 10_000), currency="CRD")
    shop.use("2025-01-10", calls=5000, exports=200)
    january = shop.bill("2025-01-31")
    assert (total(january), shop.left(wallet)) == ("0.00", "4000.00")
    used = {line.description: line.subtotal for line in january.line_items if line.line_item_type == "USAGE"}
    assert used == {"Calls": 5000, "Exports": 1000}


# ------------------------------------------------------------------------------------------- commitments and minimums


def test_credit_for_a_quarter_and_a_dearer_rate_beyond_it(shop: PriceShop) -> None:
    """50,000 of credit for the quarter at 0.50 a call, beyond it 1.2 times the rate: 120,000 calls cost 12,000 more."""
    shop.open("calls")
    plan = shop.plan("quarterly", bill_frequency_interval=3)
    shop.price(
        plan,
        "calls",
        0.5,
        cumulative=True,
        overage_pricing_bands=[{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 0.6}],
    )
    shop.join(plan)
    credit = shop.wallet(
        "credit", ("2025-01-01", 50_000), end_date="2025-04-01T00:00:00Z", overage_description="Beyond the credit"
    )
    shop.use("2025-01-10", calls=70_000)
    shop.use("2025-03-10", calls=50_000)
    quarter = shop.bill("2025-03-31")
    assert (total(quarter), shop.left(credit)) == ("12000.00", "0.00")
    assert ("OVERAGE_USAGE", "12000.00") in [(kind, money) for kind, _, money in lines(quarter)]


@pytest.mark.parametrize(("used", "owed"), [(7_500, "10000.00"), (12_000, "12000.00")], ids=["missed", "reached"])
def test_a_monthly_minimum(shop: PriceShop, used: int, owed: str) -> None:
    """10,000 a month at least: usage of 7,500 is made up to it, usage of 12,000 is what is owed."""
    shop.open("calls")
    shop.join(shop.plan("minimum", {"calls": 1}, minimum_spend=10_000))
    shop.use("2025-01-10", calls=used)
    january = shop.bill("2025-01-31")
    assert total(january) == owed
    missing = [money for kind, _, money in lines(january) if kind == "MINIMUM_SPEND"]
    assert missing == (["2500.00"] if used < 10_000 else [])


def test_a_year_of_a_commitment_billed_monthly(shop: PriceShop) -> None:
    """15,000 a year, billed 1,250 a month, at 0.46 a transaction with 1% on what is beyond: 20,000 transactions a month
    cost 1,250.00, then 4,684.00 (of 9,200.00 only 5,800.00 are left), then 10,542.00; 111,354.00 in the year."""
    shop.open("transactions")
    plan = shop.plan("committed", {"transactions": 0.46})
    shop.join(plan)
    commitment = shop.client.commitments.create(
        account_id=shop.ids["account"],
        amount=15_000,
        currency="USD",
        start_date="2025-01-01",
        end_date="2026-01-01",
        billing_plan_id=plan,
        overage_surcharge_percent=1,
    ).id
    owed = []
    for month in range(1, 13):
        shop.use(f"2025-{month:02}-10", transactions=20_000)
        owed.append(total(shop.bill(last_day(month))))
    assert owed == ["1250.00", "4684.00", *["10542.00"] * 10]
    assert amount(sum(float(each) for each in owed)) == "111354.00"
    assert shop.client.commitments.retrieve(commitment).amount_spent == 15_000


def test_old_customers_move_to_a_new_price_and_are_protected(shop: PriceShop) -> None:
    """500 flat until the renewal in March; then 0.05 a call, but at most 20% above the 500 for a year: a bill that
    would be 731.40 is 600.00. A year later it is what it is."""
    shop.open("calls")
    shop.join(shop.plan("flat", standing_charge=500), end_date="2025-03-01T00:00:00Z")
    year = {"startDate": "2025-03-01", "endDate": "2026-03-01"}
    contract = shop.client.contracts.create(
        account_id=shop.ids["account"],
        name="Renewal",
        start_date="2025-03-01",
        end_date="2027-03-01",
        extra_body={"priceProtection": {"baseline": 500, "maximumIncreasePercent": 20, **year}},
    ).id
    shop.join(shop.plan("by_call", {"calls": 0.05}), "2025-03-01", contract_id=contract)
    for year_, month, owed in ((2025, 2, "500.00"), (2025, 3, "600.00"), (2026, 3, "731.40")):
        shop.use(f"{year_}-{month:02}-10", calls=14_628)
        assert total(shop.bill(last_day(month, year_))) == owed
    assert ("CREDIT_DEDUCTION", "-131.40") in [(kind, money) for kind, _, money in lines(shop.bill(last_day(3)))]
