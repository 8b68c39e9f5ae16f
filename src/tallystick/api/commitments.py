"""Commitments over HTTP, with their search. A reply also says how much bills have drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tallystick.api.crud import IDS, Crud, Reply, where_of
from tallystick.api.routing import Call, Envelope, Paged, Route, entity_reply
from tallystick.api.search_query import described, read_search
from tallystick.control.commitments import COMMITMENTS, SEARCH_DATES, SEARCH_KEYS, SORT_KEYS, amounts_spent, search
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity
from tallystick.ports import OrganizationRecords, Where

END_DATE_START = "Only those that end at this date or later."
END_DATE_END = "Only those that end before this date."
CONTRACT = "Only those of this contract; empty: only those of no contract."


def unlinked(call: Call, name: str) -> bool:
    """Whether the query asks for what belongs to no contract: `contractId=` without a value."""
    return call.query.values.get(name) == ""


def _where(call: Call) -> Where:
    query = call.query
    where = where_of(
        call,
        id=query.texts("ids"),
        account_id=query.text("accountId"),
        contract_id=query.text("contractId"),
        product_ids=query.text("productId"),
    )
    return replace(where, active_on=query.instant("date"))


def _keep(call: Call) -> Callable[[Entity[Commitment]], bool] | None:
    first, before, alone = call.query.day("endDateStart"), call.query.day("endDateEnd"), unlinked(call, "contractId")
    if first is None and before is None and not alone:
        return None

    def keep(commitment: Entity[Commitment]) -> bool:
        value = commitment.value
        if alone and value.contract_id is not None:
            return False
        return (first is None or value.end_date >= first) and (before is None or value.end_date < before)

    return keep


def _show(records: OrganizationRecords, commitments: Sequence[Entity[Commitment]]) -> list[Reply]:
    spent = amounts_spent(records, commitments)
    return [{**entity_reply(each), "amountSpent": spent[each.id]} for each in commitments]


_CRUD = Crud(
    noun=COMMITMENTS,
    path="/commitments",
    tag="Commitments",
    where=_where,
    keep=_keep,
    show=_show,
    filters={
        "ids": IDS,
        "accountId": "Only commitments of this account.",
        "contractId": CONTRACT,
        "productId": "Only commitments that name this product.",
        "date": "Only commitments in force at this date (its midnight, UTC) or date and time.",
        "endDateStart": END_DATE_START,
        "endDateEnd": END_DATE_END,
    },
)


def _search(call: Call) -> Reply:
    wanted = read_search(call.query, SEARCH_KEYS, SORT_KEYS, SEARCH_DATES)
    return _CRUD.page(call.records, search(call.records, wanted))


ROUTES = (
    Route(
        method="GET",
        path="/commitments/search",
        run=_search,
        summary="Search commitments",
        tag="Commitments",
        scope="config:retrieve",
        reply=Paged(Envelope(Commitment)),
        query=described("startDate>2025-01-01", SEARCH_KEYS, SORT_KEYS),
    ),
    *_CRUD.routes(),
)
