"""Balances over HTTP, with their transactions. A reply also says what the balance holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from tallystick.api.bill_preview import WAIT, counted_up_to
from tallystick.api.commitments import CONTRACT, END_DATE_END, END_DATE_START, unlinked
from tallystick.api.crud import IDS, PAGING, Crud, Reply, desk_of, request_type, value_of, where_of
from tallystick.api.routing import Call, Paged, Route, entity_reply, struct_page
from tallystick.control.balance_transactions import summary, transact
from tallystick.control.balances import BALANCES, amounts
from tallystick.control.ledger import list_entries
from tallystick.core.bill_job import BillFailure
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.ledger import BalanceTransaction, LedgerCause, LedgerEntry, Summary
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.pipeline.watch import LiveValue, live_values
from tallystick.ports import DocumentWhere, OrganizationRecords, Where

PAGE_LIMIT = 200
TransactionRequest = request_type(BalanceTransaction)


class TransactionReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A transaction of a balance. A bill's draw also names the line that drew (`lineItemId`)."""

    id: str
    version: int
    amount: Decimal
    applied_date: Instant
    transaction_date: Instant
    entity_type: LedgerCause
    entity_id: str
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    description: str | None = None
    transaction_type_id: str | None = None
    paid: Decimal | None = None
    currency_paid: str | None = None
    line_item_id: str | None = None


def _where(call: Call) -> Where:
    query = call.query
    return where_of(
        call,
        id=query.texts("ids"),
        account_id=query.text("accountId"),
        contract_id=query.text("contractId") or query.text("contract"),
    )


def _keep(call: Call) -> Callable[[Entity[Balance]], bool] | None:
    first, before = call.query.instant("endDateStart"), call.query.instant("endDateEnd")
    alone = unlinked(call, "contractId") or unlinked(call, "contract")
    if first is None and before is None and not alone:
        return None

    def keep(balance: Entity[Balance]) -> bool:
        value = balance.value
        if alone and value.contract_id is not None:
            return False
        return (first is None or value.last_end >= first) and (before is None or value.last_end < before)

    return keep


def _show(records: OrganizationRecords, balances: Sequence[Entity[Balance]]) -> list[Reply]:
    held = amounts(records, balances)
    return [{**entity_reply(each), "amount": held[each.id]} for each in balances]


def transaction_reply(entry: LedgerEntry) -> TransactionReply:
    """An entry of the ledger as the wire shows it. It is never changed, so it stays at version 1."""
    return TransactionReply(
        id=entry.id,
        version=1,
        amount=entry.amount,
        applied_date=entry.applied_date,
        transaction_date=entry.transaction_date,
        entity_type=entry.entity_type,
        entity_id=entry.entity_id,
        dt_created=entry.created,
        dt_last_modified=entry.created,
        created_by=entry.created_by,
        last_modified_by=entry.created_by,
        description=entry.description,
        transaction_type_id=entry.transaction_type_id,
        paid=entry.paid,
        currency_paid=entry.currency_paid,
        line_item_id=entry.line_item_id,
    )


def _transact(call: Call, body: BalanceTransaction) -> TransactionReply:
    return transaction_reply(transact(desk_of(call), call.path["balanceId"], value_of(BalanceTransaction, body)))


def _transactions(call: Call) -> Reply:
    balance = BALANCES.retrieve(call.records, call.path["balanceId"])
    query = call.query
    cause = query.text("entityType")
    if cause is not None and cause not in list(LedgerCause):
        message = f"entityType: must be one of {', '.join(LedgerCause)}, got {cause[:40]!r}"
        raise Refusal("invalid_request", message, field="entityType")
    wanted = {
        "credit_id": balance.id,
        "entity_type": cause,
        "entity_id": query.text("entityId"),
        "transaction_type_id": query.text("transactionTypeId"),
    }
    where = DocumentWhere(equal={name: (text,) for name, text in wanted.items() if text is not None})
    found = list_entries(call.records, where, query.page(highest=PAGE_LIMIT))
    return struct_page([transaction_reply(entry) for entry in found.rows], found.next_token)


def _live(call: Call) -> Reply:
    """What the balance is worth now; `complete` says whether the usage of everything accepted so far counts."""
    balance = BALANCES.retrieve(call.records, call.path["id"])
    wanted = call.app.journal.last
    up_to = counted_up_to(call, wanted)
    (worth,) = live_values(call.records, call.usage, (balance,), now=call.now, up_to=up_to)
    if isinstance(worth, BillFailure):
        raise Refusal(worth.code, f"id: a bill that may draw from this balance cannot be made: {worth.message}")
    fields = zip(worth.__struct_encode_fields__, worth.__struct_fields__, strict=True)
    return {wire: getattr(worth, name) for wire, name in fields} | {"complete": up_to == wanted}


def _summary(call: Call) -> Summary:
    return summary(call.records, call.path["balanceId"], call.now)


_TRANSACTIONS = "/balances/{balanceId}/transactions"

ROUTES = (
    *Crud(
        noun=BALANCES,
        path="/balances",
        tag="Balances",
        where=_where,
        keep=_keep,
        show=_show,
        filters={
            "ids": IDS,
            "accountId": "Only balances of this account.",
            "contractId": CONTRACT,
            "contract": "The same as contractId.",
            "endDateStart": f"{END_DATE_START} A rollover counts.",
            "endDateEnd": f"{END_DATE_END} A rollover counts.",
        },
    ).routes(),
    Route(
        method="GET",
        path="/balances/{id}/live",
        run=_live,
        summary="What a balance is worth now, with the usage that no bill has drawn yet",
        tag="Balances",
        scope="config:retrieve",
        reply=LiveValue,
        query={"wait": WAIT},
    ),
    Route(
        method="GET",
        path=f"{_TRANSACTIONS}/summary",
        run=_summary,
        summary="Sum up the transactions of a balance",
        tag="Balances",
        scope="config:retrieve",
        reply=Summary,
    ),
    Route(
        method="POST",
        path=_TRANSACTIONS,
        run=_transact,
        summary="Add to a balance, or take from it",
        tag="Balances",
        scope="config:create",
        body=TransactionRequest,
        reply=TransactionReply,
    ),
    Route(
        method="GET",
        path=_TRANSACTIONS,
        run=_transactions,
        summary="List the transactions of a balance, latest first",
        tag="Balances",
        scope="config:retrieve",
        reply=Paged(TransactionReply),
        query={
            "entityType": f"Only those made by one of {', '.join(LedgerCause)}.",
            "entityId": "Only those made by this bill, user or schedule.",
            "transactionTypeId": "Only those of this type.",
            **PAGING,
        },
    ),
)
