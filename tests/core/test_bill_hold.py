"""The states of a hold: found, grown, gone, released, found again."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from tallystick.core.anomaly import Anomaly, AnomalyKind, AnomalyPolicy, found_event
from tallystick.core.bill_hold import (
    BillHold,
    HoldState,
    ReleaseReason,
    after_calculation,
    hold_by_hand,
    hold_events,
    release,
    require_released,
)
from tallystick.core.period import Instant
from tallystick.errors import Refusal

AT = Instant.parse("2025-07-01T06:00:00Z")
BILL, ACCOUNT = "0b8b7a4c-9c1f-4a53-8d4c-2f5d6f0c8a11", "acme"
SPIKE = Anomaly(
    id="0b8b7a4c-9c1f-4a53-8d4c-2f5d6f0c8a12",
    kind=AnomalyKind.SPIKE,
    day=date(2025, 6, 20),
    measured=Decimal(4000),
    usual=Decimal(100),
    found=AT,
    account_id=ACCOUNT,
    meter_id="llm",
    field="tokens",
    method="SUM",
)


def spike(measured: int, day: int = 20) -> Anomaly:
    return msgspec.structs.replace(SPIKE, measured=Decimal(measured), day=date(2025, 6, day))


def calculated(before: BillHold | None, *found: Anomaly) -> BillHold | None:
    return after_calculation(before, BILL, ACCOUNT, found, at=AT, by="anomalies")


def held(*found: Anomaly) -> BillHold:
    hold = calculated(None, *found)
    assert hold is not None
    return hold


def released(hold: BillHold, reason: ReleaseReason = ReleaseReason.GROWTH) -> BillHold:
    return release(hold, reason, "asked them", at=AT, by="ada")


def test_nothing_found_is_no_hold() -> None:
    assert calculated(None) is None


def test_what_is_found_holds_the_bill_until_somebody_releases_it() -> None:
    hold = held(SPIKE)
    assert (hold.state, hold.anomalies) == (HoldState.HELD, (SPIKE,))
    with pytest.raises(Refusal, match="SUM of tokens was 4000 on 2025-06-20, usually 100") as told:
        require_released({BILL: hold})
    assert told.value.code.name == "bill_held"
    done = released(hold)
    assert (done.state, done.anomalies, done.version) == (HoldState.RELEASED, (), 2)
    assert [(each.reason, each.by, each.anomalies) for each in done.releases] == [("GROWTH", "ada", (SPIKE,))]


AGAIN = [
    ("the same", (spike(4000),), HoldState.RELEASED),
    ("somewhat more", (spike(6000),), HoldState.RELEASED),
    ("far more", (spike(6001),), HoldState.HELD),
    ("less", (spike(300),), HoldState.RELEASED),
    ("another day", (spike(4000), spike(4000, day=21)), HoldState.HELD),
    ("nothing", (), HoldState.RELEASED),
]


@pytest.mark.parametrize(("name", "found", "state"), AGAIN)
def test_what_was_released_holds_again_only_where_there_is_more_to_see(
    name: str, found: tuple[Anomaly, ...], state: HoldState
) -> None:
    after = calculated(released(held(SPIKE)), *found)
    assert after is not None
    assert after.state is state
    if state is HoldState.HELD:
        assert after.anomalies == (found[-1],)


def test_a_hold_stays_when_nothing_is_found_any_more_and_says_so() -> None:
    gone = calculated(held(SPIKE))
    assert gone is not None
    assert (gone.state, gone.no_longer_found, gone.anomalies) == (HoldState.HELD, True, (SPIKE,))
    back = calculated(gone, SPIKE)
    assert back is not None
    assert not back.no_longer_found
    assert not released(gone).no_longer_found


def test_a_calculation_that_finds_the_same_changes_nothing() -> None:
    hold = held(SPIKE)
    assert calculated(hold, SPIKE) is hold
    done = released(hold)
    assert calculated(done, SPIKE) is done


def test_people_hold_bills_too() -> None:
    hold = hold_by_hand(None, BILL, ACCOUNT, "wait for the customer", at=AT, by="ada")
    with pytest.raises(Refusal, match="wait for the customer"):
        require_released({BILL: hold})
    assert calculated(hold) is hold
    with pytest.raises(Refusal) as twice:
        hold_by_hand(hold, BILL, ACCOUNT, "again", at=AT, by="ada")
    assert twice.value.code.name == "bill_state"
    done = released(hold, ReleaseReason.BUG)
    with pytest.raises(Refusal) as free:
        released(done)
    assert free.value.code.name == "bill_state"
    assert hold_by_hand(done, BILL, ACCOUNT, "once more", at=AT, by="ada").releases == done.releases


def test_each_change_of_state_is_told_once() -> None:
    hold = held(SPIKE)
    done = released(hold)
    names = [event.event_name for before, after in ((None, hold), (hold, hold), (hold, done)) for _, event in
             hold_events(before, after)]  # fmt: skip
    assert names == ["bill.held", "bill.released"]
    ((_, told),) = hold_events(None, hold)
    assert told.m3ter_event["reason"] == "SUM of tokens was 4000 on 2025-06-20, usually 100"
    assert found_event(SPIKE).id == found_event(spike(5000)).id


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"times": 1}, "times: must be from 1.1 to 1000000, got 1"),
        ({"holdFor": ["SPIKE", "SPIKE"]}, "holdFor: each kind once"),
        ({"leastMeasurements": 0}, "leastMeasurements"),
        ({"alertFor": ["SOMETHING"]}, "alertFor"),
    ],
)
def test_policies_that_make_no_sense(body: dict[str, object], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(body, AnomalyPolicy, strict=False)
