"""Spend alerts: what a customer wants to be told of, and when one fires. An extension of ours.

An alert fires once and is armed again later, so that it tells of a thing once (docs/decisions/0296-spend-alerts.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from tallystick.core.bill import Bill, LineItemType
from tallystick.core.entity import CurrencyCode, Id, Name, Value
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, divide, multiply, total

EVENT_NAME = "spendalert.fired"
EVENT_TYPE = "SpendAlertFired"
PAID_AHEAD = frozenset({LineItemType.BALANCE_CONSUMED, LineItemType.COMMITMENT_CONSUMED})
MAX_ALERTS = 20  # of an account: customers make them
_HUNDRED = Decimal(100)
_MOST_PERCENT = Decimal(10_000)


class SpendAlertType(StrEnum):
    SPEND_ABOVE = "SPEND_ABOVE"  # what the present billing periods charge so far reaches an amount
    PERCENT_OF_LAST_BILL = "PERCENT_OF_LAST_BILL"  # … reaches a percentage of what the last approved bill charges
    BALANCE_BELOW = "BALANCE_BELOW"  # what can still be drawn of a balance, or of all, falls below an amount
    USAGE_ABOVE = "USAGE_ABOVE"  # what the present billing periods charge for of an aggregation reaches a quantity
    COMMITMENT_ABOVE = "COMMITMENT_ABOVE"  # what is drawn of a commitment, or of any, reaches a percentage of it
    FORECAST_ABOVE = "FORECAST_ABOVE"  # what the present billing periods will charge at this pace reaches an amount


# Those that customers set for themselves.
OF_CUSTOMERS = (SpendAlertType.SPEND_ABOVE, SpendAlertType.PERCENT_OF_LAST_BILL, SpendAlertType.BALANCE_BELOW)
_PERCENTAGES = frozenset({SpendAlertType.PERCENT_OF_LAST_BILL, SpendAlertType.COMMITMENT_ABOVE})
_OF_PERIODS = frozenset(SpendAlertType) - {SpendAlertType.BALANCE_BELOW, SpendAlertType.COMMITMENT_ABOVE}
AMOUNTS = frozenset({SpendAlertType.SPEND_ABOVE, SpendAlertType.BALANCE_BELOW, SpendAlertType.FORECAST_ABOVE})
FORECAST_METHOD = "PACE"  # see pipeline.forecast


class SpendAlert(Value, frozen=True, kw_only=True):
    """A wish of a customer to be told. `threshold` is an amount of `currency` (the account's where none is given), or a
    percentage of 100; with `balance_id`, an amount in that balance's currency; with `aggregation_id`, a quantity.
    `email` is where to tell, if anywhere.
    """

    kind: ClassVar[str] = "spendalert"
    references: ClassVar[tuple[str, ...]] = ("account_id", "balance_id", "aggregation_id", "commitment_id")
    filters: ClassVar[tuple[str, ...]] = ("active",)

    account_id: Id
    type: SpendAlertType
    threshold: Decimal
    name: Name | None = None
    currency: CurrencyCode | None = None
    balance_id: Id | None = None
    aggregation_id: Id | None = None
    commitment_id: Id | None = None
    email: Annotated[str, msgspec.Meta(max_length=254, pattern=r"^[^\s@<>\",;]+@[^\s@<>\",;]+$(?!\n)")] | None = None
    active: bool = True

    def check(self) -> None:
        if self.threshold <= 0:
            raise ValueError(f"threshold: must be above 0, got {self.threshold:f}")
        if self.type in _PERCENTAGES and self.threshold > _MOST_PERCENT:
            raise ValueError(f"threshold: at most {_MOST_PERCENT:f} percent, got {self.threshold:f}")
        if self.type not in AMOUNTS and self.currency is not None:
            raise ValueError(f"currency: not with {self.type}, whose threshold is no amount of money")
        if (self.aggregation_id is None) == (self.type is SpendAlertType.USAGE_ABOVE):
            raise ValueError("aggregationId: give it with the type USAGE_ABOVE and with no other")
        if self.commitment_id is not None and self.type is not SpendAlertType.COMMITMENT_ABOVE:
            raise ValueError("commitmentId: only with the type COMMITMENT_ABOVE")
        if self.balance_id is not None and self.type is not SpendAlertType.BALANCE_BELOW:
            raise ValueError("balanceId: only with the type BALANCE_BELOW")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an account stands at a moment: what its present bills charge, by currency, and when their periods began; what
    its last approved bill charges; and what can be drawn of its balances, by id, with their currencies. `usage` is what
    its present bills charge for, by aggregation; `commitments` how much of each is drawn, in percent; `forecast` what
    they will charge at this pace, by currency."""

    spend: Mapping[str, Decimal]
    periods: tuple[Instant, ...]
    last_bill: tuple[str, Decimal] | None = None
    balances: Mapping[str, tuple[str, Decimal]] = {}
    usage: Mapping[str, Decimal] = {}
    commitments: Mapping[str, Decimal] = {}
    forecast: Mapping[str, Decimal] = {}


class AlertState(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where an alert stands: `fired` is when it fired, None while it is armed. `of_version` is the alert's version that
    this is about; `times` how often it has fired; `periods` when the billing periods began in which it did."""

    alert_id: str
    account_id: str
    of_version: int
    fired: Instant | None = None
    value: Decimal | None = None
    periods: tuple[Instant, ...] = ()
    times: int = 0


def charged(bill: Bill) -> Decimal:
    """What a bill charges before credit pays its part, in its currency: what a customer has spent."""
    return total(each.converted_subtotal for each in bill.line_items if each.line_item_type not in PAID_AHEAD)


def charged_for(bills: Iterable[Bill]) -> dict[str, Decimal]:
    """What bills charge for of each aggregation, in its measure: the quantities of its lines."""
    found: dict[str, Decimal] = {}
    for line in (line for bill in bills for line in bill.line_items):
        of = line.aggregation_id or line.compound_aggregation_id
        if of is not None and line.line_item_type is LineItemType.USAGE:
            found[of] = add(found.get(of, ZERO), line.quantity)
    return found


def watched(alert: SpendAlert, standing: Standing) -> Decimal | None:
    """The number that the alert is about, in the units of its threshold; None where there is none to speak of."""
    match alert.type:
        case SpendAlertType.SPEND_ABOVE:
            return standing.spend.get(alert.currency or "")
        case SpendAlertType.PERCENT_OF_LAST_BILL:
            if standing.last_bill is None or standing.last_bill[1] <= 0:
                return None
            currency, amount = standing.last_bill
            spend = standing.spend.get(currency)
            return None if spend is None else divide(multiply(spend, _HUNDRED), amount)
        case SpendAlertType.BALANCE_BELOW:
            if alert.balance_id is not None:
                held = standing.balances.get(alert.balance_id)
                return None if held is None else held[1]
            all_held = [value for currency, value in standing.balances.values() if currency == alert.currency]
            return total(all_held) if all_held else None
        case SpendAlertType.USAGE_ABOVE:
            return standing.usage.get(alert.aggregation_id or "")
        case SpendAlertType.COMMITMENT_ABOVE:
            if alert.commitment_id is not None:
                return standing.commitments.get(alert.commitment_id)
            return max(standing.commitments.values(), default=None)
        case SpendAlertType.FORECAST_ABOVE:
            return standing.forecast.get(alert.currency or "")


def beyond(alert: SpendAlert, value: Decimal) -> bool:
    """Whether a number is what the alert tells of: spend that has reached the threshold, a balance below it."""
    return value < alert.threshold if alert.type is SpendAlertType.BALANCE_BELOW else value >= alert.threshold


def next_state(before: AlertState, alert: SpendAlert, version: int, standing: Standing, now: Instant) -> AlertState:
    """The state after a look at how the account stands. It has fired just now when `times` has grown."""
    value = watched(alert, standing)
    state = before if before.of_version == version else _armed(before, version)  # a changed alert begins anew
    if value is None or not alert.active:
        return state
    reached = beyond(alert, value)
    if state.fired is not None and _armed_again(state, alert, standing, reached=reached):
        state = _armed(state, version)
    if state.fired is not None or not reached:
        return state
    return msgspec.structs.replace(state, fired=now, value=value, periods=standing.periods, times=state.times + 1)


def _armed(state: AlertState, version: int) -> AlertState:
    return msgspec.structs.replace(state, of_version=version, fired=None, value=None, periods=())


def _armed_again(state: AlertState, alert: SpendAlert, standing: Standing, *, reached: bool) -> bool:
    """Credit is, once there is enough of it again. Spend is with the next billing period: of several, when all have
    begun anew, or one has and the spend is below the threshold."""
    if alert.type not in _OF_PERIODS:
        return not reached
    anew = set(standing.periods) - set(state.periods)
    return bool(anew) and (not reached or not set(standing.periods) & set(state.periods))


def firing(state: AlertState, alert: SpendAlert) -> Event:
    """The event of the latest firing. Its id says which firing it is, so that no other can be kept beside it."""
    assert state.fired is not None, "only what has fired has an event"
    details: dict[str, Any] = {
        "eventName": EVENT_NAME,
        "alertId": state.alert_id,
        "accountId": state.account_id,
        "type": alert.type.value,
        "threshold": alert.threshold,
        "value": state.value,
        "currency": alert.currency,
        "balanceId": alert.balance_id,
        "aggregationId": alert.aggregation_id,
        "commitmentId": alert.commitment_id,
        "method": FORECAST_METHOD if alert.type is SpendAlertType.FORECAST_ABOVE else None,
        "name": alert.name,
        "email": alert.email,
    }
    known = {name: value for name, value in details.items() if value is not None}
    return Event(
        id=named_id(state.alert_id, f"firing/{state.times}"),
        event_name=EVENT_NAME,
        event_time=state.fired,
        m3ter_event=known,
    )
