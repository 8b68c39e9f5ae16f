"""Bespoke terms over HTTP: the report, what is noted of them, and what is approved. An extension of ours."""

from __future__ import annotations

import msgspec

from tallystick.api.crud import IDS, PAGING, Crud, where_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.bespoke import APPROVED_TERMS, BESPOKE_NOTES, bespoke_terms
from tallystick.core.bespoke import DRIFT, BespokeCount, BespokeKind, BespokeTerm, Concern, counted
from tallystick.errors import Refusal
from tallystick.ports import Where

TAG = "Bespoke terms"


class BespokeCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many bespoke terms there are, by kind."""

    kinds: tuple[BespokeCount, ...]


def terms(call: Call) -> dict[str, object]:
    """A page of bespoke terms, those to be looked at first. The token of a page is how many came before it."""
    query = call.query
    found = bespoke_terms(call.records, call.now)
    kind, concern = query.text("kind"), query.text("concern")
    for name, given, known in (("kind", kind, BespokeKind), ("concern", concern, Concern)):
        if given is not None and given not in known.__members__:
            message = f"{name}: must be one of {', '.join(known.__members__)}, got {given[:40]!r}"
            raise Refusal("invalid_request", message, field=name)
    account = query.text("accountId")
    found = [
        each
        for each in found
        if (kind is None or each.kind == kind)
        and (concern is None or concern in each.concerns)
        and (account is None or each.account_id == account)
        and (query.flag("drift") is not True or DRIFT & set(each.concerns))
    ]
    page = query.page()
    start = 0 if page.token is None else _start(page.token)
    more = start + page.size < len(found)
    return struct_page(found[start : start + page.size], str(start + page.size) if more else None)


def _start(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise Refusal("invalid_page", f"nextToken: {token[:40]!r} is no token of this list", field="nextToken")
    return int(token)


def counts(call: Call) -> BespokeCounts:
    """How many there are."""
    return BespokeCounts(kinds=counted(bespoke_terms(call.records, call.now)))


def _notes(call: Call) -> Where:
    return where_of(call, id=call.query.texts("ids"), term_id=call.query.text("termId"))


ROUTES = (
    Route(
        method="GET",
        path="/bespoketerms",
        run=terms,
        summary="List bespoke terms of customers, those to be looked at first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(BespokeTerm),
        query={
            "kind": "Only PLAN, DISCOUNT, CONTRACT or COMMITMENT.",
            "accountId": "Only terms of this account.",
            "concern": "Only terms of which this is to be looked at, such as REVIEW_DUE.",
            "drift": "true: only contracts that drift from what was agreed.",
            **PAGING,
        },
    ),
    Route(
        method="GET",
        path="/bespoketerms/counts",
        run=counts,
        summary="Count bespoke terms by kind, and those to be looked at",
        tag=TAG,
        scope="config:retrieve",
        reply=BespokeCounts,
    ),
    *Crud(
        noun=BESPOKE_NOTES,
        path="/bespokenotes",
        tag=TAG,
        where=_notes,
        filters={"ids": IDS, "termId": "Only the note on this term."},
    ).routes(),
    *Crud(noun=APPROVED_TERMS, path="/approvedterms", tag=TAG).routes(),
)
