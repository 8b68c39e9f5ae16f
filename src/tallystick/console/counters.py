"""Counters such as seats: which there are, what an account has of each, and what it had."""

from __future__ import annotations

from itertools import pairwise

from tallystick.console.agreed import account_of, act, changed, new, shown, today, version
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.console.products import products
from tallystick.control.counter_adjustments import COUNTER_ADJUSTMENTS, levels_of, set_level
from tallystick.control.counters import COUNTERS
from tallystick.core.counter_types import Counter, CounterAdjustment
from tallystick.core.user import May
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

MOST = 200
HIGHEST = 10**15


def _list(visit: Visit) -> Html:
    found = COUNTERS.find(visit.records, Where(), visit.query.page(highest=50))
    every = [("", "Every product"), *products(visit)]
    values = {
        "rows": found.rows,
        "next_token": found.next_token,
        "products": every,
        "product_names": dict(every),
    }
    return Html("counters.html", values)


def _typed(visit: Visit) -> dict[str, object]:
    form = visit.form
    return {
        "name": form.required("name"),
        "unit": form.required("unit"),
        "code": form.text("code"),
        "productId": form.text("productId"),
    }


def _create(visit: Visit) -> Redirect:
    counter = COUNTERS.create(visit.desk, new(Counter, _typed(visit)))
    return Redirect("/counters", notice=f"The counter {counter.value.name} is there. Give it a price on a plan.")


def _edit(visit: Visit) -> Html:
    counter = COUNTERS.retrieve(visit.records, visit.path["id"])
    return Html("counter_form.html", {"counter": counter, "products": [("", "Every product"), *products(visit)]})


def _update(visit: Visit) -> Redirect:
    counter = COUNTERS.retrieve(visit.records, visit.path["id"])
    COUNTERS.update(visit.desk, counter.id, changed(counter.value, _typed(visit)), version(visit))
    return Redirect("/counters", notice="The counter is changed.")


def _delete(visit: Visit) -> Redirect:
    gone = COUNTERS.delete(visit.desk, visit.path["id"])
    return Redirect("/counters", notice=f"The counter {gone.value.name} is deleted.")


# ------------------------------------------------------------------------------------------------- of an account


def _levels(visit: Visit) -> Html:
    account = account_of(visit)
    rows = list(visit.records.every(CounterAdjustment, Where(equal={"account_id": (account.id,)})))
    counters = COUNTERS.find(visit.records, Where(), ListPage(size=MOST)).rows
    named = visit.records.get_many(Counter, {each.value.counter_id for each in rows})
    rows.sort(key=lambda each: (each.value.counter_id, each.value.date))
    before = {
        later.id: earlier.value.value
        for earlier, later in pairwise(rows)
        if earlier.value.counter_id == later.value.counter_id
    }
    history = sorted(rows, key=lambda each: (each.value.date, each.created), reverse=True)[:MOST]
    values = {
        "account": account,
        "levels": levels_of(rows, today(visit)),
        "history": [(each, each.value.value - before.get(each.id, 0)) for each in history],
        "more": len(rows) > MOST,
        "named": named,
        "counters": [(each.id, f"{each.value.name} ({each.value.unit})") for each in counters],
        "today": today(visit),
    }
    return Html("account_counters.html", values)


def _set(visit: Visit) -> Redirect:
    account = account_of(visit)
    value = visit.form.number("value", lowest=0, highest=HIGHEST)
    typed = {
        "accountId": account.id,
        "counterId": visit.form.required("counterId"),
        "date": visit.form.day("date") or visit.form.required("date"),
        "value": value if value is not None else visit.form.required("value"),
        "purchaseOrderNumber": visit.form.text("purchaseOrderNumber"),
    }
    made = set_level(visit.desk, new(CounterAdjustment, typed))
    notice = f"It is {made.value.value:,} from {made.value.date:%-d %B %Y} on."
    return Redirect(f"/accounts/{account.id}/counters", notice=notice)


def _forget(visit: Visit) -> Redirect:
    gone = COUNTER_ADJUSTMENTS.delete(visit.desk, visit.path["id"])
    return Redirect(f"/accounts/{gone.value.account_id}/counters", notice="The change of that day is taken back.")


PAGES: tuple[Page, ...] = (
    Page(method="GET", path="/counters", run=_list, title="Counters, such as seats", section="plans"),
    Page(method="POST", path="/counters", run=_create, title="Add a counter", may=May.CONFIGURE, again=_list),
    Page(method="GET", path="/counters/{id}", run=_edit, title="Edit a counter", may=May.CONFIGURE, section="plans"),
    Page(method="POST", path="/counters/{id}", run=_update, title="Change a counter", may=May.CONFIGURE, again=_edit),
    Page(
        method="POST",
        path="/counters/{id}/delete",
        run=_delete,
        title="Delete a counter",
        may=May.CONFIGURE,
        again=_edit,
    ),
    shown("/accounts/{id}/counters", _levels, "What an account has of each counter, now and before"),
    act("/accounts/{id}/counters", _set, "Say what an account has of a counter from a day on", _levels),
    Page(
        method="POST",
        path="/counteradjustments/{id}/delete",
        run=_forget,
        title="Take a change of a counter back",
        may=May.CONFIGURE,
    ),
)
