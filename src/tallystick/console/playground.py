"""The playground: edit the prices of a plan and see what a past period would have cost; nothing is kept before it is
published from a day on.

The effect on an account is shown at once, line by line; that on all accounts of the plan is a simulation with a page of
its own, from which one can go on editing.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tallystick.console.chart_drawing import Chart, Frame, Series
from tallystick.console.charts import bars
from tallystick.console.page import File, Html, Page, Redirect, Visit
from tallystick.console.plans import Price
from tallystick.console.playground_form import besides_of, charges_of, edited, prices_of, typed_candidate
from tallystick.control.candidates import publish, try_candidate
from tallystick.control.desk import new_id
from tallystick.control.plans import PLANS
from tallystick.core.account import Account
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.entity import Entity
from tallystick.core.period import Instant, day_start
from tallystick.core.simulated_bill import Outcome, SimulatedBill
from tallystick.core.simulation import Candidate, Changes, SimulationRequest
from tallystick.core.simulation_csv import simulation_csv
from tallystick.core.simulation_effect import FROM_NOTHING, SAME, STEPS, Effect
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run
from tallystick.pipeline.simulate import periods_of, simulate
from tallystick.pipeline.simulation_job import (
    cancel_simulation,
    changes_of,
    create_simulation,
    every_simulated_bill,
    list_simulations,
    read_simulation,
    simulated_bills,
)
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

MOST_PLANS = 200
RECENT = 5
PAGE_ROWS = 50


def _show(visit: Visit, *, bills: list[SimulatedBill] | None = None) -> Html:
    plans = visit.records.find(Plan, Where(), ListPage(size=MOST_PLANS)).rows
    recent = list_simulations(visit.records, ListPage(size=RECENT)).rows
    simulation_id = visit.query.text("simulationId")
    before = read_simulation(visit.records, simulation_id) if simulation_id else None
    plan_id = visit.form.text("planId") or visit.query.text("planId") or (before.request.plan_id if before else None)
    values: dict[str, object] = {
        "plans": [(each.id, each.value.name) for each in plans],
        "recent": recent,
        "plan": None,
        "account": visit.form.text("account") or visit.query.text("account") or "",
        "day": _day(visit, before.request.last_date_in_billing_period if before else None),
    }
    if plan_id is None:
        return Html("playground.html", values)
    plan = PLANS.retrieve(visit.records, plan_id)
    template = visit.records.get(PlanTemplate, plan.value.plan_template_id)
    assert template is not None, "a plan has its template"
    kept = before.request.candidate if before else None
    account = visit.query.text("account")
    if before and account and not visit.form.values:  # a bill of the simulation, line by line
        day, changes = before.request.last_date_in_billing_period, changes_of(visit.records, before.id)
        bills = _bills(visit, account, day, changes)
    lines = [line for bill in bills or () for line in bill.lines or ()]
    currency = template.value.currency
    prices = edited(visit, _prices(visit, plan), kept, currency, lines)
    shown = {
        "plan": plan,
        "template": template.value,
        "currency": currency,
        "charges": charges_of(plan.value, template.value, kept),
        "asked": before.request if before else None,
        "prices": prices,
        "bills": bills,
        "total": _total(bills or []),
        "first_of_next": (visit.now.astimezone(visit.zone).date().replace(day=1) + timedelta(days=32)).replace(day=1),
    }
    return Html("playground.html", values | shown)


def _prices(visit: Visit, plan: Entity[Plan]) -> list[Price]:
    # What is priced now can be published; what was priced in the period is what its bill is made of.
    end = day_start(_day(visit, None) + timedelta(days=1), visit.config.timezone)
    return prices_of(visit.records, plan, end, visit.now)


def _day(visit: Visit, of_simulation: date | None) -> date:
    """The last day of the period: as it was typed, else of last month."""
    text = visit.form.text("lastDate") or visit.query.text("lastDate")
    try:
        typed = date.fromisoformat(text) if text else None
    except ValueError:
        typed = None
    today = visit.now.astimezone(visit.zone).date()
    return typed or of_simulation or today.replace(day=1) - timedelta(days=1)


def _total(bills: list[SimulatedBill]) -> dict[str, Decimal] | None:
    """The sums of an account's bills, where all of them can be compared."""
    if not bills or any(each.outcome is Outcome.FAILS for each in bills):
        return None
    return {
        "old": sum((each.old_total or Decimal(0) for each in bills), Decimal(0)),
        "new": sum((each.new_total or Decimal(0) for each in bills), Decimal(0)),
        "difference": sum((each.difference for each in bills), Decimal(0)),
    }


def _look(visit: Visit) -> Html | Redirect:
    """Show the effect of what was typed: for an account here, for all on a page of its own."""
    form = visit.form
    plan = PLANS.retrieve(visit.records, form.required("planId"))
    day = form.day("lastDate") or _day(visit, None)
    candidate = typed_candidate(form, plan, _prices(visit, plan))
    changes = _tried(visit, candidate)
    code = form.text("account")
    if code is not None:
        return _show(visit, bills=_bills(visit, code, day, changes))
    besides = besides_of(form)
    request = SimulationRequest(
        candidate=candidate,
        last_date_in_billing_period=day,
        plan_id=plan.id,
        segment_by=besides.segment_by,
        cap=besides.cap,
    )
    made = create_simulation(visit.records, visit.usage, request, changes, _run(visit))
    return Redirect(f"/playground/{made.id}")


def _run(visit: Visit) -> Run:
    return Run(job_id=new_id(), as_of=Instant.of(visit.now), up_to=visit.app.usage.mark, actor_id=visit.actor.id)


def _bills(visit: Visit, code: str, day: date, changes: Changes) -> list[SimulatedBill]:
    """The bills of an account whose periods end with a day."""
    account = visit.records.by_code(Account, code)
    if account is None:
        raise Refusal("unknown_reference", f"account: there is no account with the code {code[:40]!r}", field="account")
    request = SimulationRequest(candidate=Candidate(), last_date_in_billing_period=day, account_ids=(account.id,))
    periods = periods_of(visit.records, request)
    if not periods:
        message = f"lastDate: the account {code!r} has no billing period that ends with {day}"
        raise Refusal("no_billing_period", message, field="lastDate")
    run = _run(visit)
    return simulate(visit.records, visit.usage, periods, changes, as_of=run.as_of, up_to=run.up_to)


def _publish(visit: Visit) -> Redirect:
    form = visit.form
    plan = PLANS.retrieve(visit.records, form.required("planId"))
    start = form.day("publishFrom")
    if start is None:
        raise Refusal("invalid_request", "publishFrom: say from which day the prices hold", field="publishFrom")
    if not form.flag("confirmed"):
        message = "confirmed: tick that these prices are to hold; nothing is published yet"
        raise Refusal("invalid_request", message, field="confirmed")
    candidate = typed_candidate(form, plan, _prices(visit, plan), charges=False)
    try:
        made = publish(visit.desk, candidate, day_start(start, visit.config.timezone))
    except Refusal as problem:
        raise _placed(problem, candidate) from None
    ended = len(candidate.removed_pricing_ids)
    said = f"{len(made)} new prices hold from {start}" + (f", and {ended} end there." if ended else ".")
    return Redirect(f"/plans/{plan.id}", notice=said)


def _tried(visit: Visit, candidate: Candidate) -> Changes:
    try:
        return try_candidate(visit.desk, candidate)
    except Refusal as problem:
        raise _placed(problem, candidate) from None


def _placed(problem: Refusal, candidate: Candidate) -> Refusal:
    """What is refused of a candidate, told of the field that shows it."""
    for number, each in enumerate(candidate.pricings):
        place = f"candidate.pricings[{number}]"
        if problem.field == place:
            message = problem.message.removeprefix(f"{place}: ")
            return Refusal(problem.code.name, message, field=f"pricingBands.{each.id}")
    return problem


# ------------------------------------------------------------------------------------------------------ simulations


def _simulation(visit: Visit) -> Html:
    made = read_simulation(visit.records, visit.path["id"])
    text = visit.query.text("outcome")
    outcome = Outcome(text) if text and text in Outcome.__members__ else None
    found = simulated_bills(visit.records, made.id, visit.query.page(highest=PAGE_ROWS), outcome)
    plan = visit.records.get(Plan, made.request.plan_id) if made.request.plan_id else None
    return Html(
        "simulation.html",
        {
            "made": made,
            "plan": plan,
            "rows": found.rows,
            "next_token": found.next_token,
            "charts": {each.currency: histogram(each) for each in made.effects},
            "outcomes": (("", "All"), *((each.value, each.value.capitalize()) for each in Outcome)),
            "percents": {each.currency: _percent(each) for each in made.effects},
        },
    )


def _percent(effect: Effect) -> str:
    if not effect.old_total:
        return ""
    return f"{effect.difference / effect.old_total * 100:+.1f}%"


def histogram(effect: Effect) -> Chart:
    """How many bills change by how much."""
    names = [f"to {STEPS[0]}%"]
    names += [f"{_signed(low)} to {_signed(high)}%" for low, high in pairwise(STEPS)]
    names += [f"over {STEPS[-1]:+}%"]
    below = STEPS.index(Decimal(0)) + 1
    spread = effect.distribution
    places = [*range(below), SAME, *range(below, len(STEPS) + 1), FROM_NOTHING]
    labels = dict(enumerate(names)) | {SAME: "as it is", FROM_NOTHING: "was nothing"}
    frame = Frame(
        key=f"spread-{effect.currency.lower()}", title="Bills by how much they change", unit="bills", across="Change"
    )
    values = tuple(Decimal(spread[place]) for place in places)
    return bars(frame, [labels[place] for place in places], [Series("Bills", values)])


def _signed(percent: Decimal) -> str:
    return f"{percent:+}" if percent else "0"


def _csv(visit: Visit) -> File:
    made = read_simulation(visit.records, visit.path["id"])
    body = simulation_csv(every_simulated_bill(visit.records, made.id))
    return File(body, "text/csv; charset=utf-8", f"simulation-{made.request.last_date_in_billing_period}.csv")


def _cancel(visit: Visit) -> Redirect:
    made = cancel_simulation(visit.records, visit.path["id"], now=visit.now)
    return Redirect(f"/playground/{made.id}", notice="The simulation stops.")


def _page(method: str, path: str, run: Any, title: str, **more: Any) -> Page:
    return Page(method=method, path=path, run=run, title=title, section="playground", **more)


PAGES = (
    _page("GET", "/playground", _show, "The price playground"),
    _page("POST", "/playground", _look, "See the effect of other prices", may=May.CONFIGURE, again=_show),
    _page("POST", "/playground/publish", _publish, "Publish prices from a day on", may=May.CONFIGURE, again=_show),
    _page("GET", "/playground/{id}", _simulation, "What other prices do to all bills"),
    _page("GET", "/playground/{id}/csv", _csv, "The bills of a simulation as CSV"),
    _page("POST", "/playground/{id}/cancel", _cancel, "Stop a simulation", may=May.CONFIGURE),
)
