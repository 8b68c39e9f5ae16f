"""What accounts may use, and how much of it they have used: from the bills that would be made now. Nothing is written.

Where the present bill of an account has a line of what a feature counts, its quantity is what is used. Else the same
question is asked that a bill asks, over the period in which the feature is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

from tallystick.core.aggregation import Aggregation, Question
from tallystick.core.asking import question_about
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillFailure
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entitlement import CreditLeft, Feature, Grant, Judged, judge, remaining
from tallystick.core.entity import Entity
from tallystick.core.formula import base_value
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, Period
from tallystick.core.quantity import ZERO
from tallystick.core.spend_alert import charged_for
from tallystick.core.usage_filters import narrowed
from tallystick.pipeline.commitment_watch import live_commitment
from tallystick.pipeline.entitled import Given, given
from tallystick.pipeline.meter import Measurements, measure
from tallystick.pipeline.spend import present_bills
from tallystick.pipeline.watch import live_values
from tallystick.ports import OrganizationRecords, OrganizationUsage, Where
from tallystick.ports.founded import config_of

LATEST = timedelta(hours=1)  # without usage and without a change, a standing is looked at anew after this long


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may use at a moment, by code of the feature; as long as nothing is written and no usage comes it
    is the same until `changes`."""

    account_id: str
    account_code: str
    grants: dict[str, Grant]
    as_of: Instant
    up_to: int
    changes: Instant


class Shown(NamedTuple):
    """A feature as pages show it: what is given, whether any more may be used, and the limit with what is left."""

    grant: Grant
    judged: Judged
    limit: Decimal | None
    left: Decimal | None


def shown(standing: Standing) -> list[Shown]:
    """The features that an account has been given, in order of their codes. Bursts play no part in it."""
    given = [each for _, each in sorted(standing.grants.items()) if each.entitlement is not None]
    return [Shown(each, judge(each, ZERO, ZERO, ()), *remaining(each, ZERO)) for each in given]


class _Features(NamedTuple):
    """All features, by id, with the aggregations that count them and their filters."""

    features: Mapping[str, Entity[Feature]]
    aggregations: Mapping[str, tuple[Aggregation, str | None]]

    def counting(self, feature_id: str) -> tuple[Aggregation, str | None] | None:
        """The aggregation that counts a feature, and which measurements it counts."""
        return self.aggregations.get(self.features[feature_id].value.aggregation_id or "")


def standings(
    records: OrganizationRecords, usage: OrganizationUsage, account_ids: Sequence[str], *, now: Instant, up_to: int
) -> dict[str, Standing]:
    """How accounts stand now, by id, with the usage up to a journal position."""
    records = records.once()  # what is given, the bill and the credit are all about the same accounts and plans
    config = config_of(records)
    known = _read_features(records)
    all_given = given(records, account_ids, config.value, now)
    asked = {each.account.id: _questions(each, known, up_to) for each in all_given}
    bills = present_bills(records, usage, [id_ for id_, found in asked.items() if found], now=now, up_to=up_to)
    measured = measure(usage, {id_: set(found.values()) for id_, found in asked.items()})
    found = {}
    for each in all_given:
        id_ = each.account.id
        credit, problem = _credit(records, usage, each, config.value.timezone, now=now, up_to=up_to)
        made = bills.get(id_, [])
        problem = problem or next((bill.message for bill in made if isinstance(bill, BillFailure)), "")
        whole = [bill for bill in made if isinstance(bill, BillRecord)]
        used = _used(each, known, asked[id_], measured[id_], whole)
        found[id_] = Standing(
            account_id=id_,
            account_code=each.account.value.code,
            grants={
                feature.value.code: _grant(feature, each, known, used.get(feature_id), credit, problem)
                for feature_id, feature in known.features.items()
            },
            as_of=now,
            up_to=up_to,
            changes=_changes(records, each, now),
        )
    return found


def _read_features(records: OrganizationRecords) -> _Features:
    def read(reading: OrganizationRecords) -> _Features:
        features = {each.id: each for each in reading.every(Feature)}
        wanted = {each.value.aggregation_id for each in features.values() if each.value.aggregation_id is not None}
        aggregations = reading.get_many(Aggregation, sorted(wanted))
        meters = reading.get_many(Meter, sorted({each.value.meter_id for each in aggregations.values()}))
        filters = {
            id_: (each.value, narrowed(each.value.filter, (), meters[each.value.meter_id].value))
            for id_, each in aggregations.items()
        }
        return _Features(features, filters)

    return records.remembered(("features",), read)


def _questions(of: Given, known: _Features, up_to: int) -> dict[str, Question]:
    """What is asked about the usage of an account, by feature (id)."""
    found = {}
    for feature_id, (_, _, counted) in of.features.items():
        counting = known.counting(feature_id)
        if counting is not None:
            aggregation, filter_ = counting
            found[feature_id] = question_about(aggregation, counted.part, up_to, whole=counted.whole, filter=filter_)
    return found


def _used(
    of: Given,
    known: _Features,
    asked: Mapping[str, Question],
    measured: Measurements,
    bills: Sequence[BillRecord],
) -> dict[str, Decimal]:
    """What is used of each feature (id): by the bill of its period where that charges for it, else as measured."""
    by_period: dict[Period, list[BillRecord]] = {}
    for each in bills:
        by_period.setdefault(Period(each.bill.start_date_time_utc, each.bill.end_date_time_utc), []).append(each)
    billed = {period: charged_for(each.bill for each in some) for period, some in by_period.items()}
    found = {}
    for feature_id, question in asked.items():
        counting = known.counting(feature_id)
        assert counting is not None, "only what counts is asked"
        rows = measured[question]
        own = base_value(counting[0], rows[0] if rows else None, question)
        aggregation_id = known.features[feature_id].value.aggregation_id or ""
        on_bill = billed.get(of.features[feature_id][2].whole, {}).get(aggregation_id)
        found[feature_id] = on_bill if on_bill is not None else own if own is not None else ZERO
    return found


def _grant(
    feature: Entity[Feature],
    of: Given,
    known: _Features,
    used: Decimal | None,
    credit: tuple[CreditLeft, ...],
    problem: str,
) -> Grant:
    counting = known.counting(feature.id)
    if feature.id not in of.features:
        return Grant(feature_id=feature.id, feature=feature.value, unit=counting[0].unit if counting else "")
    id_, value, counted = of.features[feature.id]
    return Grant(
        feature_id=feature.id,
        feature=feature.value,
        unit=counting[0].unit if counting else "",
        entitlement_id=id_,
        entitlement=value,
        used=used,
        period=counted.whole if counting else None,
        credit=credit if value.needs_credit else (),
        problem=problem,
    )


def _credit(
    records: OrganizationRecords, usage: OrganizationUsage, of: Given, zone: str, *, now: Instant, up_to: int
) -> tuple[tuple[CreditLeft, ...], str]:
    """What is left of the credit that pays for an account, its parent's too, and why that cannot be told."""
    if not any(value.needs_credit for _, value, _ in of.features.values()):
        return (), ""
    payers = sorted({of.account.id, of.account.value.parent_account_id or of.account.id})
    where = Where(equal={"account_id": payers})
    balances = [each for each in records.every(Balance, where) if each.value.start_date <= now < each.value.last_end]
    found, problem = [], ""
    for balance, worth in zip(
        balances, live_values(records, usage, balances, now=now, up_to=up_to) if balances else (), strict=True
    ):
        if isinstance(worth, BillFailure):
            problem = worth.message
        else:
            found.append(CreditLeft(id=balance.id, type="BALANCE", currency=worth.currency, left=worth.value))
    for each in records.every(Commitment, Where(equal={"account_id": payers}, active_on=now)):
        live = live_commitment(records, usage, each, now=now, up_to=up_to, zone=zone, days=(0, 0))
        problem = problem or live.problem
        found.append(CreditLeft(id=each.id, type="COMMITMENT", currency=each.value.currency, left=live.left))
    return tuple(found), problem


def _changes(records: OrganizationRecords, of: Given, now: Instant) -> Instant:
    """The next moment at which an account may stand otherwise though nothing happens."""
    moments = [Instant.of(now + LATEST)]
    moments += [counted.whole.end for _, _, counted in of.features.values()]
    moments += [each for plan in of.plans for each in plan.life]
    moments += [plan.grid.period_at(now).end for plan in of.plans]
    if any(value.needs_credit for _, value, _ in of.features.values()):
        payers = sorted({of.account.id, of.account.value.parent_account_id or of.account.id})
        for balance in records.every(Balance, Where(equal={"account_id": payers})):
            moments += [balance.value.start_date, balance.value.end_date, balance.value.last_end]
    return min(each for each in moments if each > now)
