"""Insights from bills and usage: what precedes expansion, who would be better served by a commitment, margins.

Bills are read page by page, of each only what is asked for; the usage store is asked about many accounts at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from tallystick.core import wire
from tallystick.core.aggregation import Aggregation, Question
from tallystick.core.asking import question_about
from tallystick.core.bill import LineItemType
from tallystick.core.credit_types import Commitment
from tallystick.core.earned import MoneyField
from tallystick.core.entity import Entity
from tallystick.core.formula import base_value
from tallystick.core.insight import (
    Advice,
    Charged,
    Expansion,
    MarginBy,
    Offer,
    advise,
    expansion_of,
    margin_by,
    pairs_of,
)
from tallystick.core.meter import Category
from tallystick.core.money import Rounding, rounding_for
from tallystick.core.organization import Currency
from tallystick.core.period import Frequency, Instant, Period
from tallystick.core.quantity import ZERO, add, multiply, total
from tallystick.core.spend_alert import PAID_AHEAD
from tallystick.pipeline.earned import read_money_fields
from tallystick.pipeline.meter import measure
from tallystick.ports import DocumentWhere, OrganizationRecords, OrganizationUsage, Page
from tallystick.ports.founded import config_of

YEARLY = {Frequency.MONTHLY: 12, Frequency.WEEKLY: 52, Frequency.DAILY: 365, Frequency.ANNUALLY: 1}
PAGE = 1_000
NO_PRODUCT = "(no product)"


class _Asked(msgspec.Struct, frozen=True, rename="camel"):
    accounts: tuple[str, ...] | None = None


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    question: _Asked


class _Line(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    line_item_type: LineItemType
    converted_subtotal: Decimal
    product_id: str | None = None
    product_code: str | None = None
    meter_id: str | None = None


class _Bill(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    account_id: str
    account_code: str
    currency: str
    billing_frequency: Frequency
    bill_frequency_interval: int
    start_date_time_utc: Instant = msgspec.field(name="startDateTimeUTC")
    end_date_time_utc: Instant = msgspec.field(name="endDateTimeUTC")
    line_items: tuple[_Line, ...]

    @property
    def period(self) -> Period:
        return Period(self.start_date_time_utc, self.end_date_time_utc)

    @property
    def charges(self) -> Decimal:
        """Before credit, as `spend_alert.charged`."""
        return total(each.converted_subtotal for each in self.line_items if each.line_item_type not in PAID_AHEAD)


class _Evidence(msgspec.Struct, frozen=True, rename="camel"):
    answers: tuple[_Answer, ...] = ()


class _Stored(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a stored bill; the rest is passed over."""

    bill: _Bill
    evidence: _Evidence

    @property
    def accounts(self) -> set[str]:
        """The accounts whose usage is on it."""
        pooled = (each.question.accounts or () for each in self.evidence.answers)
        return {self.bill.account_id, *(id_ for ids in pooled for id_ in ids)}


def _every_bill(records: OrganizationRecords, first: date, last: date) -> Iterator[_Stored]:
    """Bills of periods that end within two days (both ends inclusive, as periods end at midnight)."""
    where = DocumentWhere(between={"end_date": (first.isoformat(), last.isoformat())})
    page: Page | None = Page(size=PAGE)
    while page is not None:
        found = records.documents("bill", where, page)
        for each in found.rows:
            stored = wire.decode(_Stored, each.body)
            if stored.bill.billing_frequency is not Frequency.AD_HOC:
                yield stored
        page = Page(size=PAGE, token=found.next_token) if found.next_token else None


# ------------------------------------------------------------------------------------------------------ expansion


def expansion(
    records: OrganizationRecords, usage: OrganizationUsage, first: date, last: date, *, up_to: int
) -> list[Expansion]:
    """For each aggregation, how its growth stands to that of bills one period later, most telling first. Of bills whose
    periods end within the two days."""
    bills = _charged(records, first, last)
    rows = []
    for aggregation in records.every(Aggregation):
        measured: dict[tuple[str, Instant], Decimal] = {}
        for account_id, question, row in _measured(usage, aggregation, bills, up_to):
            measured[account_id, question.period.start] = row
        pairs = [each for series in bills for each in pairs_of(series, measured)]
        rows.append(expansion_of(aggregation.id, aggregation.value.code, aggregation.value.name, pairs))
    return sorted(rows, key=lambda row: (row.correlation is None, -(row.correlation or ZERO), row.name))


def _measured(
    usage: OrganizationUsage, aggregation: Entity[Aggregation], bills: Sequence[Sequence[Charged]], up_to: int
) -> Iterator[tuple[str, Question, Decimal]]:
    value = msgspec.structs.replace(aggregation.value, segmented_fields=None, segments=None)
    asked: dict[str, dict[Question, None]] = {}
    for series in bills:
        for each in series:
            period = Period(each.start, each.end)
            question = question_about(value, period, up_to, whole=period, filter=value.filter)
            asked.setdefault(each.account_id, {})[question] = None
    for account_id, answers in measure(usage, asked).items():
        for question, rows in answers.items():
            found = base_value(value, rows[0] if rows else None, question)
            if found is not None:
                yield account_id, question, found


def _charged(records: OrganizationRecords, first: date, last: date) -> list[list[Charged]]:
    """What accounts were charged, period by period: a series for each account, currency and frequency. Several bills of
    one period count together."""
    series: dict[tuple[str, str, str, int], dict[Instant, Charged]] = {}
    for stored in _every_bill(records, first, last):
        bill = stored.bill
        key = bill.account_id, bill.currency, bill.billing_frequency.value, bill.bill_frequency_interval
        of = series.setdefault(key, {})
        before = of.get(bill.start_date_time_utc)
        of[bill.start_date_time_utc] = Charged(
            account_id=bill.account_id,
            account_code=bill.account_code,
            currency=bill.currency,
            start=bill.start_date_time_utc,
            end=bill.end_date_time_utc,
            yearly=YEARLY[bill.billing_frequency] // bill.bill_frequency_interval,
            amount=add(before.amount if before else ZERO, bill.charges),
        )
    return [[of[start] for start in sorted(of)] for _, of in sorted(series.items())]


# ------------------------------------------------------------------------------------------------------ commitments


def commitments(records: OrganizationRecords, offers: Sequence[Offer], first: date, last: date) -> list[Advice]:
    """The accounts without a commitment that one of the offers would have served better, greatest saving first."""
    held = {
        each.value.account_id
        for each in records.every(Commitment)
        if each.value.start_date <= last and each.value.end_date > last
    }
    roundings = {
        each.value.code: rounding_for(each.value.max_decimal_places, each.value.rounding_mode)
        for each in records.every(Currency)
    }
    found = []
    for series in _charged(records, first, last):
        yearly = series[0].yearly
        if series[0].account_id not in held and yearly > 1:  # who is billed in years has no other periods to go by
            advice = advise(series, offers, yearly, roundings.get(series[0].currency, Rounding()))
            found += [advice] if advice else []
    return sorted(found, key=lambda each: (each.currency, -each.saving, each.account_code))


# ------------------------------------------------------------------------------------------------------ margins


class _Sums(msgspec.Struct):
    """What is added up for a row."""

    code: str
    bills: int = 0
    revenue: Decimal = ZERO
    money: dict[Category, Decimal | None] = {}


def margins(
    records: OrganizationRecords, usage: OrganizationUsage, by: str, first: date, last: date, *, up_to: int
) -> list[MarginBy]:
    """Margins by "account" or "product" and currency, least margin first, of bills whose periods end within two days.

    Usage belongs to bills as in simulations: of the meters of products that they charge for, and of other meters that
    a line of theirs counts from. What each measurement costs is in one row of each kind.
    """
    fields = read_money_fields(records)
    found: dict[tuple[str, str], _Sums] = {}
    bills = list(_every_bill(records, first, last))
    sums = _money(records, usage, fields, bills, up_to) if fields else {}
    for place, stored in enumerate(bills):
        bill = stored.bill
        seen = set()
        for line in bill.line_items:
            if line.line_item_type in PAID_AHEAD:
                continue
            id_, code = _row(by, bill, line.product_id, line.product_code)
            row = found.setdefault((id_, bill.currency), _Sums(code=code, money={}))
            row.revenue = add(row.revenue, line.converted_subtotal)
            row.bills += id_ not in seen
            seen.add(id_)
        for field, amount in sums.get(place, {}).items():
            id_, code = _row(by, bill, field.product_id, None)
            row = found.setdefault((id_, bill.currency), _Sums(code=code or id_, money={}))
            before = row.money.get(field.category, ZERO)
            known = None if amount is None or before is None else add(before, amount)
            row.money[field.category] = known  # a part of a cost is no cost
    rows = [
        margin_by(
            id_, of.code, currency, of.bills, of.revenue, of.money.get(Category.INCOME), of.money.get(Category.COST)
        )
        for (id_, currency), of in found.items()
    ]
    return sorted(rows, key=lambda row: (row.currency, row.margin is None, row.margin or ZERO, row.code))


def _row(by: str, bill: _Bill, product_id: str | None, product_code: str | None) -> tuple[str, str]:
    if by == "account":
        return bill.account_id, bill.account_code
    return (product_id, product_code or "") if product_id else ("", NO_PRODUCT)


def _money(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    fields: Sequence[MoneyField],
    bills: Sequence[_Stored],
    up_to: int,
) -> dict[int, dict[MoneyField, Decimal | None]]:
    """What the usage of bills says of money in their currency, by their place. An account's usage of a period counts on
    one bill; None of a field without a rate to the currency of the bill."""
    config = config_of(records)
    rates = {(each.from_, each.to): each.multiplier for each in config.value.currency_conversions}
    own: dict[int, list[tuple[str, MoneyField, Question]]] = {}
    taken: set[tuple[str, Question]] = set()
    asked: dict[str, dict[Question, None]] = {}
    for place, stored in enumerate(bills):
        bill = stored.bill
        products = {line.product_id for line in bill.line_items}
        meters = {line.meter_id for line in bill.line_items}
        for field in fields:
            if field.product_id not in products and field.meter_id not in meters:
                continue
            question = field.question(bill.period, up_to)
            for account_id in sorted(stored.accounts):
                if (account_id, question) not in taken:
                    taken.add((account_id, question))
                    own.setdefault(place, []).append((account_id, field, question))
                    asked.setdefault(account_id, {})[question] = None
    measured = measure(usage, asked)
    found: dict[int, dict[MoneyField, Decimal | None]] = {}
    for place, wanted in own.items():
        currency = bills[place].bill.currency
        for account_id, field, question in wanted:
            rate = Decimal(1) if field.currency == currency else rates.get((field.currency, currency))
            of = found.setdefault(place, {})
            before = of.get(field, ZERO)
            if rate is None or before is None:
                of[field] = None
            else:
                of[field] = add(before, multiply(total(row.total for row in measured[account_id][question]), rate))
    return found
