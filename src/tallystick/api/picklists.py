"""Pick-lists over HTTP: bill grouping keys, credit and debit reasons, transaction types."""

from __future__ import annotations

from typing import Any

from tallystick.api.crud import CODES, IDS, Crud, archived_of, where_of
from tallystick.api.routing import Call, Route
from tallystick.control.desk import Noun
from tallystick.control.picklists import BILL_GROUPING_KEYS, CREDIT_REASONS, DEBIT_REASONS, TRANSACTION_TYPES
from tallystick.ports import Where


def _where(call: Call) -> Where:
    return where_of(call, id=call.query.texts("ids"), code=call.query.texts("codes"), archived=archived_of(call))


def _routes(noun: Noun[Any], path: str, tag: str) -> tuple[Route, ...]:
    filters = {"ids": IDS, "codes": CODES, "archived": "true: only archived ones; false: only the others."}
    return Crud(noun=noun, path=path, tag=tag, where=_where, filters=filters).routes()


ROUTES = (
    *_routes(BILL_GROUPING_KEYS, "/picklists/billgroupingkeys", "Bill grouping keys"),
    *_routes(CREDIT_REASONS, "/picklists/creditreasons", "Credit reasons"),
    *_routes(DEBIT_REASONS, "/picklists/debitreasons", "Debit reasons"),
    *_routes(TRANSACTION_TYPES, "/picklists/transactiontypes", "Transaction types"),
)
