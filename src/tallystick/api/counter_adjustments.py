"""Counter adjustments over HTTP. Their list always names a counter."""

from __future__ import annotations

from tallystick.api.crud import IDS, PAGING, Crud, Reply
from tallystick.api.routing import Call, Envelope, Paged, Route
from tallystick.control.counter_adjustments import COUNTER_ADJUSTMENTS, AdjustmentFilter, Days, find
from tallystick.core.counter_types import CounterAdjustment
from tallystick.errors import Refusal
from tallystick.ports import Page

_DATES = ("date", "dateStart", "dateEnd")
_QUERY = {
    "ids": IDS,
    "counterId": "Only adjustments of this counter; always needed.",
    "accountId": "Only adjustments of this account.",
    "date": "Only the adjustment of this day; together with accountId.",
    "dateStart": "Only adjustments of this day or later; together with accountId.",
    "dateEnd": "Only adjustments of this day or earlier; together with accountId.",
    "endDateStart": "Only adjustments that the next one follows on this day or later, or not at all.",
    "endDateEnd": "Only adjustments that the next one follows before this day.",
    "sortOrder": "ASC or DESC: by day. Without it the last one written comes first.",
    **PAGING,
}
_NARROWING = tuple(name for name in _QUERY if name != "counterId")
_CRUD = Crud(noun=COUNTER_ADJUSTMENTS, path="/counteradjustments", tag="Counter adjustments")


def _list(call: Call) -> Reply:
    query, page = call.query, _page(call)
    counter, account = query.text("counterId"), query.text("accountId")
    if counter is None:
        message = f"counterId: name the counter whose adjustments to list; {', '.join(_NARROWING)} narrow that list"
        raise Refusal("invalid_request", message, field="counterId")
    given = next((name for name in _DATES if query.text(name) is not None), None)
    if given is not None and account is None:
        raise Refusal("invalid_request", f"{given}: give it together with accountId", field=given)
    order = query.text("sortOrder")
    if order is not None and order.upper() not in {"ASC", "DESC"}:
        raise Refusal("invalid_request", f"sortOrder: must be ASC or DESC, got {order[:40]!r}", field="sortOrder")
    wanted = AdjustmentFilter(
        counter_id=counter,
        account_id=account,
        ids=query.texts("ids"),
        dates=_days(call),
        end_dates=(query.day("endDateStart"), query.day("endDateEnd")),
        ascending=None if order is None else order.upper() == "ASC",
    )
    return _CRUD.page(call.records, find(call.records, wanted, page))


def _days(call: Call) -> Days:
    """The days of `date`, `dateStart` and `dateEnd` together."""
    query = call.query
    day, first, last = query.day("date"), query.day("dateStart"), query.day("dateEnd")
    starts = [each for each in (day, first) if each is not None]
    ends = [each for each in (day, last) if each is not None]
    return max(starts, default=None), min(ends, default=None)


def _page(call: Call) -> Page:
    page = call.query.page()
    if page.token is not None and not (page.token.isascii() and page.token.isdigit() and len(page.token) < 10):
        raise Refusal("invalid_page", "nextToken: is not one that a page of this list gave", field="nextToken")
    return page


ROUTES = tuple(
    route
    if (route.method, route.path) != ("GET", _CRUD.path)
    else Route(
        method="GET",
        path=_CRUD.path,
        run=_list,
        summary=route.summary,
        tag=_CRUD.tag,
        scope=route.scope,
        reply=Paged(Envelope(CounterAdjustment)),
        query=_QUERY,
    )
    for route in _CRUD.routes()
)
