"""Insights: what precedes expansion, who would be better served by a commitment, where money is earned and lost.

They are worked out from all bills of the time, so only the one that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tallystick.console.chart_drawing import Frame, Series
from tallystick.console.charts import bars
from tallystick.console.page import Html, Page, Visit
from tallystick.core.insight import LEAST_PAIRS
from tallystick.core.insight_window import months_before, offers_of
from tallystick.pipeline.insights import commitments, expansion, margins

KINDS = (
    ("expansion", "Which metrics grow before bills do"),
    ("commitments", "Who would be better served by a commitment"),
    ("account", "Margin by account"),
    ("product", "Margin by product"),
)
SHOWN = 100
DRAWN = 12  # bars


def _show(visit: Visit) -> Html:
    query = visit.query
    today = visit.now.astimezone(visit.zone).date()
    until = query.day("until") or today.replace(day=1)
    months = query.number("months", lowest=1, highest=36) or 12
    of = query.text("of")
    shown = of if of in dict(KINDS) else ""
    offers = query.text("offers")
    values: dict[str, Any] = {
        "kinds": (("", "Choose"), *KINDS),
        "of": shown,
        "title": dict(KINDS).get(shown, ""),
        "until": until,
        "months": months,
        "offers": offers or "",
        "rows": [],
        "least_pairs": LEAST_PAIRS,
        "charts": [],
    }
    first, mark = months_before(until, months), visit.app.usage.mark
    rows: list[Any] = []
    if shown == "expansion":
        rows = list(expansion(visit.records, visit.usage, first, until, up_to=mark))
    elif shown == "commitments":
        rows = list(commitments(visit.records, offers_of(_given(offers)), first, until))
    elif shown:
        rows = list(margins(visit.records, visit.usage, shown, first, until, up_to=mark))
        values["charts"] = _charts(rows)
    return Html("insights.html", {**values, "rows": rows[:SHOWN], "count": len(rows)})


def _given(offers: str | None) -> Callable[[str], str | None]:
    return lambda name: offers if name == "offers" else None


def _charts(rows: list[Any]) -> list[Any]:
    """The least margins of each currency."""
    found = []
    for currency in sorted({each.currency for each in rows}):
        some = [each for each in rows if each.currency == currency and each.margin is not None][:DRAWN]
        if some:
            frame = Frame(
                key=f"margin-{currency.lower()}", title=f"Least margins in {currency}", unit=currency, across="Margin"
            )
            values = tuple(Decimal(each.margin) for each in some)
            found.append(bars(frame, [each.code for each in some], [Series("Margin", values)]))
    return found


PAGES = (
    Page(method="GET", path="/insights", run=_show, title="What bills and usage tell together", section="insights"),
)
