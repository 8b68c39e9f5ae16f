"""Spend alerts as a table: how an account stood, look by look, and when the alert fired."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tallystick.core import wire
from tallystick.core.period import Instant
from tallystick.core.spend_alert import AlertState, SpendAlert, Standing, beyond, firing, next_state, watched

ACCOUNT, BALANCE, ALERT = (f"00000000-0000-4000-8000-00000000000{n}" for n in "123")
JANUARY, FEBRUARY, YEAR = (Instant.parse(day) for day in ("2025-01-01", "2025-02-01", "2024-07-01"))


def alert(**given: object) -> SpendAlert:
    return wire.decode(SpendAlert, wire.encode({"accountId": ACCOUNT, **given}))


def spent(amount: str, *periods: Instant) -> Standing:
    return Standing(spend={"USD": Decimal(amount)}, periods=periods or (JANUARY,))


def holds(amount: str) -> Standing:
    return Standing(spend={}, periods=(JANUARY,), balances={BALANCE: ("USD", Decimal(amount))})


ABOVE = {"type": "SPEND_ABOVE", "currency": "USD", "threshold": 100}
BELOW = {"type": "BALANCE_BELOW", "balanceId": BALANCE, "threshold": 50}

AGGREGATION, COMMITMENT = (f"00000000-0000-4000-8000-00000000000{n}" for n in "45")
USED = {"type": "USAGE_ABOVE", "aggregationId": AGGREGATION, "threshold": 1000}
BURNT = {"type": "COMMITMENT_ABOVE", "threshold": 80}
AHEAD = {"type": "FORECAST_ABOVE", "currency": "USD", "threshold": 100}


def stands(period: Instant = JANUARY, **given: object) -> Standing:
    return Standing(spend={}, periods=(period,), **given)  # type: ignore[arg-type]  # the fields of a standing


def used(amount: str, period: Instant = JANUARY) -> Standing:
    return stands(period, usage={AGGREGATION: Decimal(amount)})


def burnt(*percent: str) -> Standing:
    return stands(commitments={f"{COMMITMENT}{at}": Decimal(each) for at, each in enumerate(percent)})


STORIES = [
    ("usage reaches a quantity", USED, [used("999.9"), used("1000"), used("2000")], [1]),
    ("usage of the next period", USED, [used("1000"), used("3", FEBRUARY), used("1001", FEBRUARY)], [0, 2]),
    ("usage of another aggregation", USED, [stands(usage={COMMITMENT: Decimal(5000)})], []),
    ("any commitment", BURNT, [burnt("10", "79.99"), burnt("10", "80"), burnt("81", "90")], [1]),
    ("a commitment that was raised", BURNT, [burnt("80"), burnt("40"), burnt("85")], [0, 2]),
    (
        "one of the commitments",
        {**BURNT, "commitmentId": COMMITMENT},
        [stands(commitments={COMMITMENT: Decimal(80)})],
        [0],
    ),
    ("another commitment", {**BURNT, "commitmentId": COMMITMENT}, [burnt("90")], []),
    ("the pace reaches an amount", AHEAD, [stands(forecast={"USD": Decimal(each)}) for each in (99, 100, 120)], [1]),
    ("a pace that nothing is known of", AHEAD, [spent("500")], []),
    ("reaching it is enough", ABOVE, [spent("99.99"), spent("100")], [1]),
    ("once in a period", ABOVE, [spent("150"), spent("200"), spent("90"), spent("101")], [0]),
    ("again in the next", ABOVE, [spent("150"), spent("20", FEBRUARY), spent("100", FEBRUARY)], [0, 2]),
    ("at once in the next", ABOVE, [spent("150"), spent("100", FEBRUARY)], [0, 1]),
    (
        "of two grids the longer goes on",
        ABOVE,
        [spent("150", YEAR, JANUARY), spent("140", YEAR, FEBRUARY), spent("60", YEAR, FEBRUARY)],
        [0],
    ),
    (
        "two grids, spend fell with the shorter",
        ABOVE,
        [spent("150", YEAR, JANUARY), spent("60", YEAR, FEBRUARY), spent("100", YEAR, FEBRUARY)],
        [0, 2],
    ),
    ("another currency", {**ABOVE, "currency": "EUR"}, [spent("500")], []),
    ("switched off", {**ABOVE, "active": False}, [spent("500")], []),
    ("exactly there is not below", BELOW, [holds("50")], []),
    ("again once it was filled up", BELOW, [holds("49.99"), holds("10"), holds("50"), holds("49")], [0, 3]),
    ("nothing is known of it", BELOW, [spent("1")], []),
    ("all balances of a currency", {"type": "BALANCE_BELOW", "currency": "USD", "threshold": 50}, [holds("49")], [0]),
]


@pytest.mark.parametrize(("body", "looks", "fires"), [row[1:] for row in STORIES], ids=[row[0] for row in STORIES])
def test_when_an_alert_fires(body: dict[str, object], looks: list[Standing], fires: list[int]) -> None:
    state = AlertState(alert_id=ALERT, account_id=ACCOUNT, of_version=1)
    fired, ids = [], set()
    for at, standing in enumerate(looks):
        before, state = state, next_state(state, alert(**body), 1, standing, FEBRUARY)
        assert next_state(state, alert(**body), 1, standing, FEBRUARY) == state, "looking again changes nothing"
        if state.times > before.times:
            fired.append(at)
            ids.add(firing(state, alert(**body)).id)
    assert fired == fires
    assert len(ids) == len(fires), "each firing has an event of its own"


def test_a_percentage_is_of_the_last_bill() -> None:
    """80% of 250.00 is 200.00."""
    wanted = alert(type="PERCENT_OF_LAST_BILL", threshold=80)
    last = ("USD", Decimal("250.00"))
    for amount, percent, reached in (("199.99", "79.996", False), ("200.00", "80", True)):
        value = watched(wanted, msgspec.structs.replace(spent(amount), last_bill=last))
        assert value == Decimal(percent)
        assert beyond(wanted, value) is reached
    for nothing in (None, ("USD", Decimal(0)), ("EUR", Decimal(5))):
        assert watched(wanted, msgspec.structs.replace(spent("200"), last_bill=nothing)) is None


def test_a_changed_alert_begins_anew() -> None:
    state = next_state(
        AlertState(alert_id=ALERT, account_id=ACCOUNT, of_version=1), alert(**ABOVE), 1, spent("150"), JANUARY
    )
    higher = alert(**{**ABOVE, "threshold": 200})
    assert next_state(state, higher, 2, spent("150"), JANUARY).fired is None
    again = next_state(state, higher, 2, spent("250"), JANUARY)
    assert (again.fired, again.value, again.times) == (JANUARY, Decimal(250), 2)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**ABOVE, "threshold": 0}, "threshold"),
        ({"type": "PERCENT_OF_LAST_BILL", "threshold": 10_001}, "threshold"),
        ({"type": "PERCENT_OF_LAST_BILL", "threshold": 80, "currency": "USD"}, "currency"),
        ({**ABOVE, "balanceId": BALANCE}, "balanceId"),
        ({**ABOVE, "email": "a@b, c@d"}, "email"),
        ({**ABOVE, "email": "a@b\n"}, "email"),
    ],
)
def test_odd_alerts_are_refused(body: dict[str, object], field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        alert(**body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"type": "USAGE_ABOVE", "threshold": 1}, "aggregationId: give it with the type USAGE_ABOVE"),
        ({"type": "SPEND_ABOVE", "threshold": 1, "aggregationId": AGGREGATION}, "aggregationId: give it"),
        ({"type": "SPEND_ABOVE", "threshold": 1, "commitmentId": COMMITMENT}, "commitmentId: only with"),
        ({"type": "COMMITMENT_ABOVE", "threshold": 80, "currency": "USD"}, "currency: not with COMMITMENT_ABOVE"),
        ({"type": "COMMITMENT_ABOVE", "threshold": 10_001}, "at most 10000 percent"),
    ],
)
def test_what_belongs_to_a_type(body: dict[str, object], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        alert(**body)


def test_a_forecast_names_its_method() -> None:
    state = next_state(
        AlertState(alert_id=ALERT, account_id=ACCOUNT, of_version=1),
        alert(**AHEAD),
        1,
        stands(forecast={"USD": Decimal(200)}),
        FEBRUARY,
    )
    assert firing(state, alert(**AHEAD)).m3ter_event["method"] == "PACE"
