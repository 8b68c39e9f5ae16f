"""How the organisation wants its portal to look: its colours as a stylesheet, and its logo."""

from __future__ import annotations

from tallystick.console.page import File
from tallystick.console.portal.page import Asked, View
from tallystick.console.portal.visit import PortalVisit
from tallystick.core.colours import theme_css
from tallystick.errors import Refusal

# A logo is looked at and does nothing, also where somebody opens it by itself.
ALONE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def _theme(visit: PortalVisit, _: Asked) -> File:
    settings = visit.settings
    return File(theme_css(settings.accent_colour, settings.accent_colour_dark), "text/css; charset=utf-8")


def _logo(visit: PortalVisit, _: Asked) -> File:
    logo = visit.logo()
    if logo is None:
        raise Refusal("not_found", "logo: there is none")
    return File(logo.data, logo.media_type, headers={"content-security-policy": ALONE})


VIEWS = (
    View(method="GET", path="/theme.css", run=_theme, title="The portal's colours"),
    View(method="GET", path="/logo", run=_logo, title="The portal's logo"),
)
