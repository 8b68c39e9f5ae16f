"""How a module says which pages of the portal it answers. Each is answered in a tab and in a frame alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tallystick.console.form import Form
from tallystick.console.page import File, Html, Redirect
from tallystick.console.portal.visit import PortalVisit
from tallystick.core.portal import PortalPage
from tallystick.web.query import QueryString

Answer = Html | Redirect | File


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks for, once it is known whose it is. `base` is where the visit's pages are."""

    base: str
    path: Mapping[str, str] = field(default_factory=dict)
    query: QueryString = field(default_factory=lambda: QueryString({}))
    form: Form = field(default_factory=lambda: Form({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A page of the portal. `path` stands behind the visit's base. `part` can be left out by the settings. `again` is
    the page with the form, shown with the reason when a POST is refused."""

    method: str
    path: str
    run: Callable[[PortalVisit, Asked], Answer]
    title: str
    part: PortalPage | None = None
    again: Callable[[PortalVisit, Asked], Html] | None = None
