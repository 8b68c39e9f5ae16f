"""Accounts over HTTP, with their search and their children."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, PAGING, Crud, Reply, by_ids_and_codes, desk_of
from tallystick.api.routing import Call, Envelope, Paged, Route
from tallystick.api.search_query import described, read_search
from tallystick.control.accounts import ACCOUNTS, SEARCH_KEYS, SORT_KEYS, children, search
from tallystick.control.end_dating import EndDating, Ended, end_of_account
from tallystick.core.account import Account

CHILDREN_LIMIT = 200

_CRUD = Crud(
    noun=ACCOUNTS,
    path="/accounts",
    tag="Accounts",
    where=by_ids_and_codes,
    filters={"ids": IDS, "codes": CODES},
)


def _children(call: Call) -> Reply:
    found = children(call.records, call.path["id"], call.query.page(highest=CHILDREN_LIMIT))
    return _CRUD.page(call.records, found)


def _end(call: Call, body: EndDating) -> Ended:
    return end_of_account(desk_of(call), call.path["id"], body)


def _search(call: Call) -> Reply:
    return _CRUD.page(
        call.records, search(call.records, read_search(call.query, SEARCH_KEYS, SORT_KEYS, ("dtCreated",)))
    )


ROUTES = (
    Route(
        method="GET",
        path="/accounts/search",
        run=_search,
        summary="Search accounts",
        tag="Accounts",
        scope="config:retrieve",
        reply=Paged(Envelope(Account)),
        query=described("name~Acme$currency:USD", SEARCH_KEYS, SORT_KEYS),
    ),
    *_CRUD.routes(),
    Route(
        method="GET",
        path="/accounts/{id}/children",
        run=_children,
        summary="List the children of an account",
        tag="Accounts",
        scope="config:retrieve",
        reply=Paged(Envelope(Account)),
        query=PAGING,
    ),
    Route(
        method="PUT",
        path="/accounts/{id}/enddatebillingentities",
        run=_end,
        summary="End what an account is billed by",
        tag="Accounts",
        scope="config:update",
        body=EndDating,
        reply=Ended,
    ),
)
