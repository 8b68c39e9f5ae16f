"""Bespoke terms: all that single customers have agreed to, who answers for it, and what drifts."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.bespoke import APPROVED_TERMS, BESPOKE_NOTES, bespoke_terms
from tallystick.core import wire
from tallystick.core.bespoke import DRIFT, ApprovedTerms, BespokeKind, BespokeNote, counted
from tallystick.core.user import May
from tallystick.ports import Where

MOST = 200


def _list(visit: Visit) -> Html:
    every = bespoke_terms(visit.records, visit.now)
    drift = visit.query.flag("drift") is True
    shown = [each for each in every if not drift or DRIFT & set(each.concerns)]
    return Html(
        "bespoke.html",
        {
            "counts": counted(every),
            "terms": shown[:MOST],
            "more": len(shown) - len(shown[:MOST]),
            "drift": drift,
            "templates": list(visit.records.every(ApprovedTerms)),
            "kinds": [(each, each.capitalize()) for each in BespokeKind],
            "choices": [(f"{each.kind} {each.id}", f"{each.account_code}: {each.name}") for each in every[:MOST]],
        },
    )


def _note(visit: Visit) -> Redirect:
    """Note who answers for a term; what was noted of it before is replaced."""
    form = visit.form
    kind, _, id_ = form.required("term").partition(" ")
    given = {
        "termKind": kind,
        "termId": id_,
        "owner": form.required("owner"),
        "reason": form.required("reason"),
        "reviewDate": form.required("reviewDate"),
        "value": form.decimal("value"),
        "currency": form.text("currency"),
    }
    note = wire.convert(BespokeNote, given)
    before = next(iter(visit.records.every(BespokeNote, Where(equal={"term_id": (id_,)}))), None)
    if before is None:
        BESPOKE_NOTES.create(visit.desk, note)
    else:
        BESPOKE_NOTES.update(visit.desk, before.id, note, None)
    return Redirect("/bespoke", notice="It is noted.")


def _approve(visit: Visit) -> Redirect:
    form = visit.form
    value = ApprovedTerms(
        name=form.required("name"),
        term_kind=form.choice("termKind", BespokeKind) or BespokeKind.DISCOUNT,
        most_percent=form.decimal("mostPercent"),
        most_months=form.number("mostMonths", lowest=1, highest=1200),
        least_amount=form.decimal("leastAmount"),
    )
    APPROVED_TERMS.create(visit.desk, value)
    return Redirect("/bespoke", notice=f"{value.name} is approved.")


PAGES = (
    Page(method="GET", path="/bespoke", run=_list, title="Bespoke terms of customers", section="accounts"),
    Page(
        method="POST",
        path="/bespoke/notes",
        run=_note,
        title="Note who answers for a bespoke term",
        may=May.CONFIGURE,
        section="accounts",
        again=_list,
    ),
    Page(
        method="POST",
        path="/bespoke/templates",
        run=_approve,
        title="Approve a template of terms",
        may=May.CONFIGURE,
        section="accounts",
        again=_list,
    ),
)
