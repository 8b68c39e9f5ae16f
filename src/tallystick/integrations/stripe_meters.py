"""Usage as Stripe's meter events, for who has Stripe price it: each line of usage is reported once.

Stripe tells repetitions by an identifier for a day or so; what was reported is kept here besides, as external mappings
of the lines, so that a line is never reported twice (docs/decisions/0491-stripe.md).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import stripe

from tallystick.core.bill import Bill, LineItem, LineItemType
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.integration import IntegrationConfig, RunStatus
from tallystick.core.quantity import plain
from tallystick.core.stripe_settings import StripeTerms
from tallystick.failpoints import reached
from tallystick.integrations.stripe_account import FAILURES, what_went_wrong
from tallystick.integrations.stripe_terms import SYSTEM, Unexpressible
from tallystick.ports import Where
from tallystick.ports.handover import HandedOver, HandOver

LINE, METER_EVENT = "BillLineItem", "meter_event"
OLDEST = timedelta(days=35)  # usage that is older is not taken by Stripe
USAGE = frozenset({LineItemType.USAGE, LineItemType.OVERAGE_USAGE})


def hand_over_usage(
    what: HandOver,
    terms: StripeTerms,
    bill: Bill,
    customer: str,
    mappings: tuple[ExternalMapping, ...],
    client: stripe.StripeClient,
) -> HandedOver:
    """Report the usage of an approved bill: the lines of aggregations that have a meter event. Nothing is begun where
    one of them cannot be reported. What was reported is kept even if a later line fails: who tries again after a day
    must not report it twice."""
    moments = _to_report(what, terms, bill)
    kept: list[ExternalMapping] = []
    failed: Exception | None = None
    for line, name, moment in moments:
        try:
            _report(what, line, name, customer, moment, client)
        except FAILURES as problem:
            failed = problem
            break
        kept.append(
            ExternalMapping(
                m3ter_entity=LINE,
                m3ter_id=line.id,
                external_system=SYSTEM,
                external_table=METER_EVENT,
                external_id=f"{line.id}={plain(line.quantity)}",
                integration_config_id=what.config.id,
            )
        )
        reached("stripe.metered")
    told = f"{len(kept)} of {len(moments)} lines of usage were reported"
    if failed is not None:
        return replace(what_went_wrong(failed, what.now), mappings=(*mappings, *kept), log=told)
    return HandedOver(status=RunStatus.COMPLETE, mappings=(*mappings, *kept), log=told)


def _to_report(what: HandOver, terms: StripeTerms, bill: Bill) -> list[tuple[LineItem, str, int]]:
    """The lines of usage that were not reported yet, with their meter event and its moment. Unexpressible where one
    cannot be reported."""
    reported = _reported(what, bill)
    found = []
    for line in bill.line_items:
        name = _event_name(terms, line)
        if name is None:
            continue
        if line.id in reported:
            _require_same(line, reported[line.id], plain(line.quantity))
        else:
            found.append((line, name, _moment(what, bill, line)))
    return found


def _event_name(terms: StripeTerms, line: LineItem) -> str | None:
    measured = line.aggregation_id or line.compound_aggregation_id
    return terms.meter_events.get(measured) if measured and line.line_item_type in USAGE else None


def _reported(what: HandOver, bill: Bill) -> dict[str, str]:
    """What was reported of the lines of a bill: its quantity, by line. What an integration reported that is gone since
    counts for the one of the same mode that took its place."""
    where = Where(
        equal={
            "m3ter_entity": (LINE,),
            "m3ter_id": tuple(line.id for line in bill.line_items),
            "external_system": (SYSTEM,),
            "external_table": (METER_EVENT,),
        }
    )
    found = [each.value for each in what.records.every(ExternalMapping, where)] if bill.line_items else []
    return {
        each.m3ter_id: each.external_id.partition("=")[2]
        for each in found
        if _stands_in_for(what, each.integration_config_id)
    }


def _stands_in_for(what: HandOver, config_id: str | None) -> bool:
    if config_id is None or config_id == what.config.id:
        return config_id is not None
    if what.records.get(IntegrationConfig, config_id) is not None:
        return False
    former = what.records.versions(IntegrationConfig, config_id)
    return bool(former) and former[-1].value.destination is what.config.value.destination


def _require_same(line: LineItem, before: str, now: str) -> None:
    if before != now:
        raise Unexpressible(
            f"the usage of {line.description} was reported to Stripe as {before} and is {now} now: correct the meter's "
            "events in Stripe, and take the external mapping of the line out of use to have it reported again"
        )


def _moment(what: HandOver, bill: Bill, line: LineItem) -> int:
    """When the usage of a line happened, in seconds. Unexpressible for what Stripe does not take."""
    if line.quantity < 0:
        raise Unexpressible(f"the usage of {line.description} is {plain(line.quantity)}: Stripe has none below zero")
    end = line.service_period_end_date or bill.end_date_time_utc
    last = end - timedelta(seconds=1)
    if what.now - last > OLDEST:
        raise Unexpressible(
            f"the usage of {line.description} ended on {last.date()}: Stripe takes none older than {OLDEST.days} days"
        )
    return min(int(last.timestamp()), int(what.now.timestamp()))


def _report(what: HandOver, line: LineItem, name: str, customer: str, moment: int, client: stripe.StripeClient) -> None:
    client.v1.billing.meter_events.create(
        {
            "event_name": name,
            "identifier": line.id,
            "payload": {"stripe_customer_id": customer, "value": plain(line.quantity)},
            "timestamp": moment,
        },
        {"idempotency_key": f"{what.run.id}/meter/{line.id}"},
    )
