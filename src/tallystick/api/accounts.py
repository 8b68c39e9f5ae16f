"""Accounts over HTTP, with their search and their children."""

from __future__ import annotations

from tallystick.api.crud import CODES, IDS, PAGING, Crud, Reply, by_ids_and_codes
from tallystick.api.routing import Call, Envelope, Paged, QueryString, Route
from tallystick.control.accounts import ACCOUNTS, SEARCH_KEYS, SORT_KEYS, children, search
from tallystick.control.search import Search, read_terms
from tallystick.core.account import Account
from tallystick.errors import Refusal

CHILDREN_LIMIT = 200
FURTHEST = 10**9  # rows that a search can skip

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


def _search(call: Call) -> Reply:
    return _CRUD.page(call.records, search(call.records, read_search(call.query)))


def read_search(
    query: QueryString, search_keys: tuple[str, ...] = SEARCH_KEYS, sort_keys: tuple[str, ...] = SORT_KEYS
) -> Search:
    """The parameters of a search, of accounts unless other keys are given."""
    sort_by = _choice(query, "sortBy", sort_keys)
    order = _choice(query, "sortOrder", ("ASC", "DESC"))
    return Search(
        terms=read_terms(query.text("searchQuery"), search_keys, instants=("dtCreated",)),
        any_term=_choice(query, "operator", ("AND", "OR")) == "OR",
        sort_by=sort_by or ("dtCreated" if order is not None else None),
        descending=order == "DESC",
        offset=query.number("fromDocument", lowest=0, highest=FURTHEST) or 0,
        size=query.number("pageSize", lowest=1, highest=100) or 10,
    )


def _choice(query: QueryString, name: str, choices: tuple[str, ...]) -> str | None:
    text = query.text(name)
    if text is not None and text not in choices:
        raise Refusal("invalid_request", f"{name}: must be one of {', '.join(choices)}, got {text[:40]!r}", field=name)
    return text


ROUTES = (
    Route(
        method="GET",
        path="/accounts/search",
        run=_search,
        summary="Search accounts",
        tag="Accounts",
        scope="config:retrieve",
        reply=Paged(Envelope(Account)),
        query={
            "searchQuery": f"Terms joined by $, such as name~Acme$currency:USD, over {', '.join(SEARCH_KEYS)}.",
            "operator": "AND: all terms hold; OR: at least one.",
            "sortBy": f"One of {', '.join(SORT_KEYS)}.",
            "sortOrder": "ASC or DESC.",
            "fromDocument": "How many rows to skip.",
            "pageSize": "How many rows to answer at most, 10 if not given.",
        },
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
)
