"""The home page."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Visit


def _home(_: Visit) -> Html:
    return Html("home.html")


PAGES = (Page(method="GET", path="/", run=_home, title="Home: what needs attention", section="home"),)
