"""Schedules of a balance over HTTP, with previews. A reply also says when a schedule ran last and runs next.

A preview answers the schedule's own fields, and what it would make as `data` with a `nextToken`: the client's types
know the first, its users want the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tallystick.api.balances import TransactionReply, transaction_reply
from tallystick.api.crud import PAGING, Crud, Parent, Reply, desk_of, request_type
from tallystick.api.routing import Call, Envelope, Paged, Route, entity_reply, page_reply, struct_page
from tallystick.control.balance_schedules import (
    CHARGE_SCHEDULES,
    TRANSACTION_SCHEDULES,
    UNMADE,
    charge_schedule_runs,
    made,
    preview_charges,
    preview_transactions,
    transaction_schedule_runs,
)
from tallystick.control.balances import BALANCES
from tallystick.core.charge import Charge
from tallystick.core.entity import Entity
from tallystick.core.schedule import Runs
from tallystick.core.schedule_types import ChargeSchedule, TransactionSchedule
from tallystick.ports import OrganizationRecords

PAGE_LIMIT = 200
_OF_BALANCE = Parent(noun=BALANCES, field="balance_id", path="balanceId")
TransactionScheduleRequest = request_type(TransactionSchedule, parent="balance_id")
ChargeScheduleRequest = request_type(ChargeSchedule, parent="balance_id")


def _with_runs(entity: Entity[Any], runs: Runs) -> Reply:
    shown = {"previousRun": runs.previous, "nextRun": runs.next}
    return {**entity_reply(entity), **{name: run for name, run in shown.items() if run is not None}}


def _show_transactions(records: OrganizationRecords, schedules: Sequence[Entity[TransactionSchedule]]) -> list[Reply]:
    return [_with_runs(each, transaction_schedule_runs(records, each)) for each in schedules]


def _show_charges(records: OrganizationRecords, schedules: Sequence[Entity[ChargeSchedule]]) -> list[Reply]:
    return [_with_runs(each, charge_schedule_runs(records, each)) for each in schedules]


_TRANSACTIONS = Crud(
    noun=TRANSACTION_SCHEDULES,
    path="/balances/{balanceId}/balancetransactionschedules",
    tag="Balances",
    show=_show_transactions,
    page_limit=PAGE_LIMIT,
    parent=_OF_BALANCE,
)
_CHARGES = Crud(
    noun=CHARGE_SCHEDULES,
    path="/balances/{balanceId}/balancechargeschedules",
    tag="Balances",
    show=_show_charges,
    page_limit=PAGE_LIMIT,
    parent=_OF_BALANCE,
)


def _preview_transactions(call: Call, body: TransactionSchedule) -> Reply:
    desk, schedule = desk_of(call), _TRANSACTIONS.value(call, body)
    found = preview_transactions(desk, schedule, call.query.page(highest=PAGE_LIMIT))
    shown = _show_transactions(call.records, (made(desk, UNMADE, schedule),))[0]
    return {**shown, **struct_page([transaction_reply(entry) for entry in found.rows], found.next_token)}


def _preview_charges(call: Call, body: ChargeSchedule) -> Reply:
    desk, schedule = desk_of(call), _CHARGES.value(call, body)
    found = preview_charges(desk, schedule, call.query.page(highest=PAGE_LIMIT))
    shown = _show_charges(call.records, (made(desk, UNMADE, schedule),))[0]
    return {**shown, **page_reply([entity_reply(charge) for charge in found.rows], found.next_token)}


ROUTES = (
    Route(
        method="POST",
        path=f"{_TRANSACTIONS.path}/preview",
        run=_preview_transactions,
        summary="Preview the transactions of a transaction schedule",
        tag="Balances",
        scope="config:retrieve",
        body=TransactionScheduleRequest,
        reply=Paged(TransactionReply),
        query=PAGING,
    ),
    Route(
        method="POST",
        path=f"{_CHARGES.path}/preview",
        run=_preview_charges,
        summary="Preview the charges of a charge schedule",
        tag="Balances",
        scope="config:retrieve",
        body=ChargeScheduleRequest,
        reply=Paged(Envelope(Charge)),
        query=PAGING,
    ),
    *_TRANSACTIONS.routes(),
    *_CHARGES.routes(),
)
