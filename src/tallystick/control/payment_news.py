"""What payment services tell of bills: by notifications that they send, and by what is asked of them from time to time
for where none came through. Told twice it counts once (docs/decisions/0491-stripe.md)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

import msgspec

from tallystick.control.desk import ID, Desk
from tallystick.control.paid_states import tell_from
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.integration import Destination, IntegrationConfig
from tallystick.core.paid_state import PaymentEntry
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Actor, Document, OrganizationRecords, Where
from tallystick.ports.payments import News, PaymentService

log = logging.getLogger(__name__)

KIND = "paymentmark"  # the kind of document that says up to when a service was asked
STRIPE = Actor(id="STRIPE", kind="SERVER")  # who tells what Stripe tells
STRIPES = (Destination.STRIPE, Destination.STRIPE_TEST)
OVERLAP = timedelta(minutes=5)  # asked again, as what happened shows up late in a service's list
SEND_AGAIN = timedelta(minutes=15)  # after what did not work


class PaymentMark(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Up to when the service of an integration was asked, when it is asked next, and what went wrong last."""

    id: str
    up_to: Instant
    due: Instant
    problem: str | None = None


def find_stripe_config(records: OrganizationRecords, id: str) -> Entity[IntegrationConfig] | None:
    """An integration with Stripe; None for any other id."""
    found = records.get(IntegrationConfig, id) if ID.fullmatch(id) else None
    return found if found is not None and found.value.destination in STRIPES else None


def stripe_config(records: OrganizationRecords, id: str) -> Entity[IntegrationConfig]:
    """An integration with Stripe; Refusal `not_found` for any other id."""
    found = find_stripe_config(records, id)
    if found is None:
        raise Refusal("not_found", f"id: there is no integration with Stripe {id[:40]!r}", field="id")
    return found


def stripe_configs(records: OrganizationRecords) -> list[Entity[IntegrationConfig]]:
    """Every integration with Stripe, the oldest first."""
    where = Where(equal={"destination": tuple(each.value for each in STRIPES)})
    return list(records.every(IntegrationConfig, where))


def take_news(desk: Desk, config: Entity[IntegrationConfig], news: Iterable[News]) -> int:
    """Keep what the service of an integration told; returns of how many bills. Bills that are not there are passed
    over, and so is all that is paid in test mode where bills are also charged for real: no money came in."""
    if config.value.destination is Destination.STRIPE_TEST and _charges(desk.records):
        return 0
    of_bills: dict[str, list[PaymentEntry]] = {}
    for each in news:
        if ID.fullmatch(each.bill_id):
            of_bills.setdefault(each.bill_id, []).append(each.entry)
    return sum(_take(desk, bill_id, entries) for bill_id, entries in of_bills.items())


def _take(desk: Desk, bill_id: str, entries: list[PaymentEntry]) -> bool:
    """Keep what was told of one bill. What cannot be kept is told by the log: it must not hold up other bills."""
    try:
        return tell_from(desk, bill_id, entries) is not None
    except Refusal as problem:
        log.warning(
            "organization %s: payment news of bill %s are not kept: %s",
            desk.records.organization_id,
            bill_id,
            problem.message,
        )
        return False


def _charges(records: OrganizationRecords) -> bool:
    """Whether bills of an organisation are charged for real."""
    return any(each.value.destination is Destination.STRIPE and each.value.enabled for each in stripe_configs(records))


def ask_for_news(
    service: PaymentService, records: OrganizationRecords, config: Entity[IntegrationConfig], now: Instant, pause: float
) -> None:
    """Ask what happened since the last time, if it is time to, and keep it. What does not work is kept, and asked again
    later."""
    document = records.document(KIND, config.id)
    begin = PaymentMark(id=config.id, up_to=Instant.of(config.created), due=now)
    mark = begin if document is None else wire.decode(PaymentMark, document.body)
    if mark.due > now:
        return
    desk = Desk(records=records, actor=STRIPE, now=now)
    try:
        read = service.since(records, config, Instant.of(mark.up_to - OVERLAP), now)
    except Refusal as problem:
        later = Instant.of(now + max(SEND_AGAIN, timedelta(seconds=pause)))
        after = msgspec.structs.replace(mark, due=later, problem=problem.message)
    else:
        take_news(desk, config, read.news)
        due = Instant.of(now + timedelta(seconds=pause))
        after = PaymentMark(id=config.id, up_to=max(mark.up_to, read.until), due=due)
    with records.transaction() as write:
        body = wire.encode(after)
        write.put_documents(KIND, [Document(id=config.id, sort=after.due.stamp(), keys={}, body=body)])


def mark_of(records: OrganizationRecords, config_id: str) -> PaymentMark | None:
    """How the asking stands; None where it has not begun."""
    document = records.document(KIND, config_id)
    return None if document is None else wire.decode(PaymentMark, document.body)
