"""What may be used, as tables: the limit, what is used, what is asked for, and the answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tallystick.core.entitlement import (
    Burst,
    BurstLeft,
    BurstUnit,
    CreditLeft,
    Entitlement,
    Feature,
    Grant,
    LimitKind,
    chosen,
    judge,
    reached,
    reached_event,
    remaining,
    whole_seconds,
    window_of,
)
from tallystick.core.period import Instant, Period

SOMEBODY = "11111111-1111-4111-8111-111111111111"
NOW = Instant.parse("2025-01-20T10:59:59.250Z")
MONTH = Period(Instant.parse("2025-01-01"), Instant.parse("2025-02-01"))
CALLS = Feature(name="Calls", code="calls", aggregation_id=SOMEBODY)


def given(**limits: Any) -> Entitlement:
    numbers = {
        name: Decimal(each) if isinstance(each, str) and each != SOMEBODY else each for name, each in limits.items()
    }
    return Entitlement(**{"feature_id": SOMEBODY, "account_id": SOMEBODY, **numbers})


def grant(entitlement: Entitlement | None, used: str = "0", credit: tuple[str, ...] = (), problem: str = "") -> Grant:
    return Grant(
        feature_id=SOMEBODY,
        feature=CALLS,
        unit="calls",
        entitlement_id="e",
        entitlement=entitlement,
        used=Decimal(used),
        period=MONTH,
        credit=tuple(CreditLeft(id="wallet", type="BALANCE", currency="USD", left=Decimal(each)) for each in credit),
        problem=problem,
    )


HARD, SOFT, BOTH = {"hard_limit": "100"}, {"soft_limit": "80"}, {"soft_limit": "80", "hard_limit": "100"}
GRACE = {"hard_limit": "100", "grace": "10"}


@pytest.mark.parametrize(
    ("limits", "used", "asked", "allowed", "reason"),
    [
        ({}, "5", "1", True, "UNLIMITED"),
        ({"allowed": False}, "0", "1", False, "NOT_ALLOWED"),
        (HARD, "99", "1", True, "WITHIN_LIMIT"),
        (HARD, "99", "1.000000000000000001", False, "HARD_LIMIT"),
        (HARD, "99.5", "0", True, "WITHIN_LIMIT"),
        (HARD, "100", "0", False, "HARD_LIMIT"),
        (HARD, "250", "1", False, "HARD_LIMIT"),
        ({"hard_limit": "0"}, "0", "0", False, "HARD_LIMIT"),
        (SOFT, "80", "0", True, "SOFT_LIMIT"),
        (SOFT, "79", "1", True, "WITHIN_LIMIT"),
        (SOFT, "1000", "1", True, "SOFT_LIMIT"),
        (BOTH, "85", "1", True, "SOFT_LIMIT"),
        (BOTH, "100", "1", False, "HARD_LIMIT"),
        (GRACE, "100", "10", True, "GRACE"),
        (GRACE, "100", "11", False, "HARD_LIMIT"),
        (GRACE, "109", "0", True, "GRACE"),
        (GRACE, "110", "0", False, "HARD_LIMIT"),
    ],
)
def test_limits(limits: dict[str, Any], used: str, asked: str, allowed: bool, reason: str) -> None:
    found = judge(grant(given(**limits), used), Decimal(asked), Decimal(0), ())
    assert (found.allowed, found.reason) == (allowed, reason), found.why


def test_the_sentence_says_what_was_asked() -> None:
    found = grant(given(**HARD), "42.5")
    assert judge(found, Decimal(0), Decimal(0), ()).why == "42.5 of 100 calls of Calls are used"
    assert judge(found, Decimal(2), Decimal(0), ()).why == "44.5 of 100 calls of Calls with this"
    used_up = grant(given(**HARD), "100")
    assert judge(used_up, Decimal(0), Decimal(0), ()).why == "Calls is limited to 100 calls; 100 are used"


def test_what_was_let_pass_and_is_not_counted_yet_counts() -> None:
    found = grant(given(**HARD), "95")
    assert judge(found, Decimal(3), Decimal(2), ()).allowed
    assert not judge(found, Decimal(4), Decimal(2), ()).allowed
    assert remaining(found, Decimal(2)) == (100, 3)


@pytest.mark.parametrize(
    ("credit", "problem", "allowed", "reason"),
    [
        (("0.01",), "", True, "UNLIMITED"),
        (("0", "5"), "", True, "UNLIMITED"),
        (("0",), "", False, "NO_CREDIT"),
        (("-3", "0"), "", False, "NO_CREDIT"),
        ((), "", False, "NO_CREDIT"),
        (("5",), "there is no rate from EUR", False, "UNKNOWN"),
    ],
)
def test_a_wallet_at_zero_stops_what_is_paid_ahead(
    credit: tuple[str, ...], problem: str, allowed: bool, reason: str
) -> None:
    found = judge(grant(given(needs_credit=True), credit=credit, problem=problem), Decimal(1), Decimal(0), ())
    assert (found.allowed, found.reason) == (allowed, reason)


def test_what_is_not_given_is_refused() -> None:
    found = judge(grant(None), Decimal(1), Decimal(0), ())
    assert (found.allowed, found.reason) == (False, "NOT_ENTITLED")
    assert found.why == "neither the account nor a plan of it has been given Calls"


def test_a_burst_is_refused_until_its_window_ends() -> None:
    ends = Instant.parse("2025-01-20T11:00:00Z")
    left = BurstLeft(per=BurstUnit.MINUTE, limit=Decimal(10), remaining=Decimal(2), resets_at=ends)
    assert judge(grant(given()), Decimal(2), Decimal(0), (left,)).allowed
    found = judge(grant(given()), Decimal(3), Decimal(0), (left,))
    assert (found.reason, found.why) == ("BURST_LIMIT", "3 more would be above 10 of Calls in a minute")
    assert whole_seconds(NOW, ends) == 1


@pytest.mark.parametrize(
    ("per", "number", "ends"),
    [
        (BurstUnit.SECOND, 1737370799, "2025-01-20T11:00:00Z"),
        (BurstUnit.MINUTE, 28956179, "2025-01-20T11:00:00Z"),
        (BurstUnit.HOUR, 482602, "2025-01-20T11:00:00Z"),
    ],
)
def test_windows_are_those_of_the_clock(per: BurstUnit, number: int, ends: str) -> None:
    assert window_of(per, NOW) == (number, Instant.parse(ends))
    assert window_of(per, Instant.parse("2025-01-20T11:00:00Z"))[0] == number + 1


def test_the_account_s_own_entitlement_holds_then_the_plan_s_and_the_most_generous_of_several() -> None:
    template = ("t", Entitlement(feature_id=SOMEBODY, plan_template_id=SOMEBODY))
    small = ("s", Entitlement(feature_id=SOMEBODY, plan_id=SOMEBODY, hard_limit=Decimal(10)))
    large = ("l", Entitlement(feature_id=SOMEBODY, plan_id=SOMEBODY, hard_limit=Decimal(9), grace=Decimal(2)))
    endless = ("n", Entitlement(feature_id=SOMEBODY, plan_id=SOMEBODY, soft_limit=Decimal(1)))
    own = ("o", given(allowed=False))
    assert chosen([]) is None
    assert chosen([template, small]) == small
    assert chosen([small, large]) == large
    assert chosen([large, endless, small]) == endless
    assert chosen([template, small, own, endless]) == own


def test_each_limit_is_told_once_in_a_period() -> None:
    assert reached(grant(given(**BOTH), "79.9")) == []
    assert reached(grant(given(**BOTH), "80")) == [(LimitKind.SOFT, 80)]
    found = grant(given(**BOTH), "100.5")
    assert reached(found) == [(LimitKind.SOFT, 80), (LimitKind.HARD, 100)]
    event = reached_event(found, LimitKind.HARD, Decimal(100), SOMEBODY, "acorn", NOW)
    again = reached_event(found, LimitKind.HARD, Decimal(100), SOMEBODY, "acorn", Instant.parse("2025-01-30"))
    soft = reached_event(found, LimitKind.SOFT, Decimal(80), SOMEBODY, "acorn", NOW)
    assert event.id == again.id != soft.id
    assert event.m3ter_event["reason"] == "acorn has used 100.5 calls of Calls, whose hard limit is 100"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"plan_id": SOMEBODY}, "accountId"),
        ({"account_id": None}, "accountId"),
        ({"hard_limit": "-1"}, "hardLimit"),
        ({"soft_limit": "101", "hard_limit": "100"}, "softLimit"),
        ({"grace": "1"}, "grace"),
        ({"burst": (Burst(per=BurstUnit.HOUR, limit=Decimal(1)),) * 2}, "burst"),
        ({"burst": (Burst(per=BurstUnit.HOUR, limit=Decimal(-1)),)}, r"burst\[0\].limit"),
        ({"burst": (Burst(per=BurstUnit.HOUR, limit=Decimal("1E+999999")),)}, r"burst\[0\].limit"),
    ],
)
def test_rules_of_an_entitlement(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}:.{{1,200}}$"):
        given(**wrong)
