"""Events: what happened that somebody may want to know of or follow up (source: reference 1.7, 2.12)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import msgspec

from tallystick.core import bill_event, configuration_event, wire
from tallystick.core.anomaly import FOUND as ANOMALY_FOUND
from tallystick.core.bill_hold import HELD, RELEASED
from tallystick.core.crm_summary import EVENT_FIELDS as CRM_FIELDS
from tallystick.core.crm_summary import EVENT_NAME as CRM_SUMMARY
from tallystick.core.entitlement import EVENT_NAME as LIMIT_REACHED
from tallystick.core.entity import Value
from tallystick.core.event import Event
from tallystick.core.event_fields import fields_of
from tallystick.core.export_job import EVENT_NAME as EXPORT_FAILED
from tallystick.core.ingest_failure import EVENT_NAME
from tallystick.core.notification import EVENT_NAME as NOTIFICATION
from tallystick.core.notification import EVENT_TYPE as NOTIFICATION_TYPE
from tallystick.core.notification import FAILED as NOTIFICATION_FAILED
from tallystick.core.paid_state import EVENT_FIELDS as PAYMENT_FIELDS
from tallystick.core.paid_state import EVENT_NAMES as PAYMENT_EVENTS
from tallystick.core.period import Instant
from tallystick.core.spend_alert import EVENT_NAME as SPEND_ALERT
from tallystick.core.webhook import DISABLED_EVENT as WEBHOOK_DISABLED
from tallystick.errors import Refusal
from tallystick.outbox import EVENT
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction

# What rules over events may refer to, of the events that are not made of configuration: event name → field → type.
_OWN_FIELDS: dict[str, dict[str, str]] = {
    "billing.bill.failed": {
        **dict.fromkeys(("new.billJobId", "new.accountId", "new.code", "new.reason", "new.periodKey"), "String"),
    },
    "billing.billjob.completed": {
        "new.billJobId": "String",
        "new.type": "String",
        "new.total": "Number",
        "new.failures": "Number",
    },
    "measurements.file.failed": dict.fromkeys(("new.jobId", "new.fileName", "new.reason"), "String"),
    "reconciliation.differs": {
        **dict.fromkeys(("new.reconciliationId", "new.reconciliationRunId", "new.name", "new.level"), "String"),
        **dict.fromkeys(("new.startDate", "new.endDate", "new.reason"), "String"),
        "new.accuracy": "Number",
    },
    NOTIFICATION: dict.fromkeys(("new.eventId", "new.notificationId", "new.notificationCode"), "String"),
    NOTIFICATION_FAILED: {
        **dict.fromkeys(("new.eventId", "new.notificationId", "new.notificationCode", "new.reason"), "String"),
    },
    **{
        f"integration.{what}.error": {
            **dict.fromkeys(("new.integrationRunId", "new.integrationConfigId", "new.eventId"), "String"),
            **dict.fromkeys(("new.destination", "new.destinationId", "new.status", "new.error"), "String"),
            **dict.fromkeys(("new.entityType", "new.entityId", "new.accountId"), "String"),
            "new.attempts": "Number",
        }
        for what in ("authentication", "disabled", "missingaccountmapping", "perform", "validation")
    },
    EVENT_NAME: {
        "new.failureType": "String",
        "new.code": "String",
        "new.reason": "String",
        "new.field": "String",
        "new.uid": "String",
        "new.meter": "String",
        "new.account": "String",
        "new.count": "Number",
        "new.getDownloadUrl": "String",
    },
    SPEND_ALERT: {
        "new.alertId": "String",
        "new.accountId": "String",
        "new.type": "String",
        "new.threshold": "Number",
        "new.value": "Number",
        "new.currency": "String",
        "new.balanceId": "String",
        "new.aggregationId": "String",
        "new.commitmentId": "String",
        "new.method": "String",
        "new.name": "String",
        "new.email": "String",
    },
    LIMIT_REACHED: {
        "new.accountId": "String",
        "new.accountCode": "String",
        "new.feature": "String",
        "new.entitlementId": "String",
        "new.kind": "String",
        "new.limit": "Number",
        "new.used": "Number",
        "new.periodStart": "String",
        "new.resetsAt": "String",
        "new.reason": "String",
    },
    ANOMALY_FOUND: {
        "new.anomalyId": "String",
        "new.kind": "String",
        "new.day": "String",
        "new.accountId": "String",
        "new.meterId": "String",
        "new.meter": "String",
        "new.aggregationId": "String",
        "new.measured": "Number",
        "new.usual": "Number",
        "new.reason": "String",
    },
    CRM_SUMMARY: CRM_FIELDS,
    WEBHOOK_DISABLED: {
        "new.webhookId": "String",
        "new.name": "String",
        "new.url": "String",
        "new.reason": "String",
    },
    EXPORT_FAILED: {
        "new.jobId": "String",
        "new.scheduleId": "String",
        "new.sourceType": "String",
        "new.exportFileFormat": "String",
        "new.reason": "String",
    },
    HELD: {"new.billId": "String", "new.accountId": "String", "new.heldBy": "String", "new.reason": "String"},
    RELEASED: {
        "new.billId": "String",
        "new.accountId": "String",
        "new.releasedBy": "String",
        "new.reason": "String",
        "new.note": "String",
    },
    **{name: dict(PAYMENT_FIELDS) for name in PAYMENT_EVENTS.values()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are wanted; `include_actioned` False leaves out those that somebody dealt with."""

    ids: Collection[str] | None = None
    event_name: str | None = None
    event_type: str | None = None
    account_id: str | None = None
    resource_id: str | None = None
    uid: str | None = None
    notification_id: str | None = None
    include_actioned: bool | None = None

    def where(self) -> DocumentWhere:
        """The part that the store can answer."""
        texts = {
            "event_name": self.event_name,
            "event_type": self.event_type,
            "account_id": self.account_id,
            "resource_id": self.resource_id,
            "uid": self.uid,
        }
        if self.notification_id is not None:
            texts |= {"event_type": NOTIFICATION_TYPE, "resource_id": self.notification_id}
        equal: dict[str, Collection[str]] = {name: (text,) for name, text in texts.items() if text is not None}
        if self.ids is not None:
            equal["id"] = self.ids
        return DocumentWhere(equal=equal)


def list_events(records: OrganizationRecords, wanted: EventFilter, page: Page) -> Found[Event]:
    """A page of events, newest first. A page of which all were dealt with is passed over rather than shown empty."""
    while True:
        found = records.documents(EVENT, wanted.where(), page)
        events = [read_event(each) for each in found.rows]
        if wanted.include_actioned is False:
            events = [each for each in events if each.dt_actioned is None]
        if events or found.next_token is None:
            return Found(tuple(events), found.next_token)
        page = Page(size=page.size, token=found.next_token)


def get_event(records: OrganizationRecords, id: str) -> Event:
    """One event; Refusal `not_found`."""
    document = records.document(EVENT, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no event {id[:40]!r} in this organization", field="id")
    return read_event(document)


@cache
def all_event_fields() -> dict[str, dict[str, str]]:
    """What rules over events may refer to, of every kind of event: event name → field → type."""
    found = dict(_OWN_FIELDS)
    told = [(configuration_event.event_name, each.kind, configuration_event.told_fields(each)) for each in _kinds()]
    for name_of, kind, fields in told:
        for action, sides in _SIDES.items():
            found[name_of(kind, action)] = _on(sides, fields)
    for action, sides in _SIDES.items():
        found[bill_event.event_name(action)] = _on(sides, fields_of(bill_event.BillHead))
    return dict(sorted(found.items()))


def event_fields(event_name: str | None) -> dict[str, dict[str, str]]:
    """The fields of one kind of event, or of every kind; nothing for a name that there is not."""
    every = all_event_fields()
    if event_name is None:
        return every
    return {event_name: every[event_name]} if event_name in every else {}


_SIDES = {"created": ("new",), "updated": ("new", "old"), "deleted": ("old",)}


def _on(sides: tuple[str, ...], fields: dict[str, str]) -> dict[str, str]:
    return {f"{side}.{name}": kind for side in sides for name, kind in fields.items()}


def _kinds() -> list[type[Value]]:
    """Every kind of entity, found by its type, so that none can be forgotten."""
    found: dict[str, type[Value]] = {}
    waiting = list(Value.__subclasses__())
    while waiting:
        each = waiting.pop()
        waiting += each.__subclasses__()
        if each.__dict__.get("kind"):
            found[each.kind] = each
    return list(found.values())


def mark_all_actioned(write: Transaction, ids: Collection[str], at: Instant) -> None:
    """Note that somebody dealt with events; those that are no longer kept are passed over."""
    found = write.documents(EVENT, DocumentWhere(equal={"id": ids}), Page(size=max(len(ids), 1)))
    documents = []
    for document in found.rows:
        event = msgspec.structs.replace(read_event(document), dt_actioned=at)
        documents.append(dataclasses.replace(document, body=wire.encode(event)))
    write.put_documents(EVENT, documents)


def read_event(document: Document) -> Event:
    """The event in a stored document."""
    return wire.decode(Event, document.body)
