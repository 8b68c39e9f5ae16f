"""Insights over HTTP: what precedes expansion, who would be better served by a commitment, margins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec

from tallystick.api.crud import PAGING
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.core.insight import Advice, Expansion, MarginBy
from tallystick.core.insight_window import months_before, offers_of
from tallystick.core.period import local_day
from tallystick.errors import Refusal
from tallystick.pipeline.insights import commitments, expansion, margins
from tallystick.ports.founded import config_of

TAG = "Insights"
BY = ("account", "product")
WINDOW = {
    "until": "The last day on which a billing period may end (exclusive end, such as 2025-02-01 for January); today.",
    "months": "How many months before it billing periods may have ended: 1 to 36.",
}


def expansions(call: Call) -> dict[str, object]:
    """A page of metrics, those whose growth precedes that of bills most first."""
    first, last = window(call, 12)
    return _page(call, expansion(call.records, call.usage, first, last, up_to=call.app.usage.mark))


def advice(call: Call) -> dict[str, object]:
    """A page of accounts that a commitment would have served better, greatest saving first, with the arithmetic."""
    first, last = window(call, 12)
    return _page(call, commitments(call.records, offers_of(call.query.text), first, last))


def margin_list(call: Call) -> dict[str, object]:
    """A page of margins by account or product, the least first."""
    first, last = window(call, 1)
    by = call.query.text("by") or BY[0]
    if by not in BY:
        raise Refusal("invalid_request", f"by: must be one of {', '.join(BY)}, got {by[:40]!r}", field="by")
    return _page(call, margins(call.records, call.usage, by, first, last, up_to=call.app.usage.mark))


def window(call: Call, months: int) -> tuple[date, date]:
    """The first and the last day on which billing periods end that are looked at."""
    config = config_of(call.records)
    last = call.query.day("until") or local_day(call.now, config.value.timezone)
    return months_before(last, call.query.number("months", lowest=1, highest=36) or months), last


def _page(call: Call, rows: Sequence[msgspec.Struct]) -> dict[str, object]:
    """A page of what was worked out: its token is the place of the first row."""
    page = call.query.page()
    if page.token is not None and not (page.token.isascii() and page.token.isdigit()):
        raise Refusal("invalid_request", "nextToken: give that of the page before", field="nextToken")
    start = int(page.token or 0)
    end = start + page.size
    return struct_page(rows[start:end], str(end) if end < len(rows) else None)


ROUTES = (
    Route(
        method="GET",
        path="/insights/expansion",
        run=expansions,
        summary="Which metrics grow before bills do",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(Expansion),
        query={**WINDOW, **PAGING},
    ),
    Route(
        method="GET",
        path="/insights/commitments",
        run=advice,
        summary="Which accounts a commitment would have served better, and at what level",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(Advice),
        query={
            **WINDOW,
            "discountPercent": "What is off usage under a commitment that is fitted to each account: 10.",
            "offers": "Commitments that are offered instead, as yearly amount:percent off, comma-joined: 12000:10.",
            **PAGING,
        },
    ),
    Route(
        method="GET",
        path="/insights/margins",
        run=margin_list,
        summary="Margins by account or product",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(MarginBy),
        query={**WINDOW, "by": "account or product.", **PAGING},
    ),
)
