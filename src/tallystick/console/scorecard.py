"""The scorecard of a month: how good metering and billing were."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Visit
from tallystick.pipeline.scorecard import scorecard


def _scorecard(visit: Visit) -> Html:
    month = visit.query.text("month")
    found = scorecard(visit.records, visit.app.journal, visit.app.usage, month=month, now=visit.now)
    return Html("scorecard.html", {"card": found})


PAGES = (Page(method="GET", path="/scorecard", run=_scorecard, title="The scorecard of a month", section="home"),)
