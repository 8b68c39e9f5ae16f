"""Memos of corrections over HTTP: what bills that stay should have come to, issued or discarded. An extension of
ours."""

from __future__ import annotations

from datetime import date

from tallystick.api.crud import PAGING
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.core.entity import Value
from tallystick.core.usage_correction import CorrectionMemo, MemoStatus
from tallystick.errors import Refusal
from tallystick.pipeline.correction_memo import discard_memo, issue_memo, list_memos, read_memo

TAG = "Corrections"


class IssueRequest(Value, frozen=True, kw_only=True):
    """The day that its lines are due: they stand on the bill of that day, or the next that is open. Without one it is
    today."""

    bill_date: date | None = None


def find(call: Call) -> dict[str, object]:
    """A page of memos."""
    query, status = call.query, call.query.text("status")
    if status is not None and status not in MemoStatus.__members__:
        message = f"status: must be one of {', '.join(MemoStatus)}, got {status[:40]!r}"
        raise Refusal("invalid_request", message, field="status")
    found = list_memos(
        call.records,
        query.page(),
        correction_id=query.text("correctionId"),
        account_id=query.text("accountId"),
        bill_id=query.text("billId"),
        status=None if status is None else MemoStatus(status),
    )
    return struct_page(found.rows, found.next_token)


def retrieve(call: Call) -> CorrectionMemo:
    """One memo."""
    return read_memo(call.records, call.path["id"])


def issue(call: Call, body: IssueRequest) -> CorrectionMemo:
    """Issue a draft."""
    return issue_memo(call.records, call.path["id"], actor=call.actor, now=call.now, bill_date=body.bill_date)


def discard(call: Call) -> CorrectionMemo:
    """Discard a memo."""
    return discard_memo(call.records, call.path["id"], actor=call.actor, now=call.now)


ROUTES = (
    Route(
        method="GET",
        path="/correctionmemos",
        run=find,
        summary="List memos of corrections, newest first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(CorrectionMemo),
        query={
            "correctionId": "Only memos of this correction.",
            "accountId": "Only memos of this account.",
            "billId": "Only memos of this bill.",
            "status": "Only DRAFT, ISSUED or DISCARDED ones.",
            **PAGING,
        },
    ),
    Route(
        method="GET",
        path="/correctionmemos/{id}",
        run=retrieve,
        summary="Read the memo of a correction, line by line",
        tag=TAG,
        scope="config:retrieve",
        reply=CorrectionMemo,
    ),
    Route(
        method="POST",
        path="/correctionmemos/{id}/issue",
        run=issue,
        summary="Issue a memo: its lines stand on the next bill that is open",
        tag=TAG,
        scope="config:update",
        body=IssueRequest,
        reply=CorrectionMemo,
    ),
    Route(
        method="POST",
        path="/correctionmemos/{id}/discard",
        run=discard,
        summary="Discard a memo: the next bill takes the difference up as late usage",
        tag=TAG,
        scope="config:update",
        reply=CorrectionMemo,
    ),
)
