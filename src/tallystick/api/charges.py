"""Charges over HTTP. A reply also says which bill has a line for the charge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tallystick.api.crud import IDS, Crud, Reply, where_of
from tallystick.api.routing import Call, entity_reply
from tallystick.control.charges import CHARGES, bills_of
from tallystick.core.charge import Charge
from tallystick.core.entity import Entity, Value
from tallystick.ports import OrganizationRecords, Where

_OF_THE_SERVER = {"schedule_id", "memo"}
_FIELDS = tuple(each for each in msgspec.structs.fields(Charge) if each.name not in _OF_THE_SERVER)


def _read(body: Any) -> Charge:
    return Charge(**{each.name: getattr(body, each.name) for each in _FIELDS})


def _check(body: Any) -> None:
    """The rules of a charge, which no request can make a line of a memo."""
    _read(body)


ChargeRequest = msgspec.defstruct(
    "ChargeRequest",
    [
        *((each.name, each.type) if each.required else (each.name, each.type, each.default) for each in _FIELDS),
        ("version", int | None, None),
    ],
    bases=(Value,),
    module=Charge.__module__,
    namespace={"__doc__": "A charge, without what the server says of it.", "check": _check},
    frozen=True,
    kw_only=True,
)


def _where(call: Call) -> Where:
    query = call.query
    day = query.day("billDate")
    return where_of(
        call,
        id=query.texts("ids"),
        account_id=query.text("accountId"),
        entity_id=query.text("entityId"),
        entity_type=query.text("entityType"),
        bill_date=None if day is None else day.isoformat(),
        schedule_id=query.text("scheduleId"),
    )


def _show(records: OrganizationRecords, charges: Sequence[Entity[Charge]]) -> list[Reply]:
    bills = bills_of(records, charges)
    return [{**entity_reply(each), **({"billId": bills[each.id].id} if each.id in bills else {})} for each in charges]


ROUTES = Crud(
    noun=CHARGES,
    path="/charges",
    tag="Charges",
    where=_where,
    show=_show,
    read=_read,
    body=ChargeRequest,
    filters={
        "ids": IDS,
        "accountId": "Only charges of this account.",
        "entityId": "Only charges for this balance.",
        "entityType": "AD_HOC or BALANCE.",
        "billDate": "Only charges with this bill date.",
        "scheduleId": "Only charges that this schedule made.",
    },
).routes()
