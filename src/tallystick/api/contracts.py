"""Contracts over HTTP, and ending what hangs on one."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, Crud, desk_of, where_of
from tallystick.api.routing import Call, Route
from tallystick.control.contracts import CONTRACTS
from tallystick.control.end_dating import EndDating, Ended, end_of_contract
from tallystick.ports import Where


def _where(call: Call) -> Where:
    query = call.query
    return where_of(call, id=query.texts("ids"), code=query.texts("codes"), account_id=query.text("accountId"))


def _end(call: Call, body: EndDating) -> Ended:
    return end_of_contract(desk_of(call), call.path["id"], body)


ROUTES = (
    *Crud(
        noun=CONTRACTS,
        path="/contracts",
        tag="Contracts",
        where=_where,
        filters={"ids": IDS, "codes": CODES, "accountId": "Only contracts of this account."},
    ).routes(),
    Route(
        method="PUT",
        path="/contracts/{id}/enddatebillingentities",
        run=_end,
        summary="End what hangs on a contract",
        tag="Contracts",
        scope="config:update",
        body=EndDating,
        reply=Ended,
    ),
)
