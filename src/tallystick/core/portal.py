"""The customer's portal: how an organisation wants it to look, what it shows, and the visits that were allowed."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.colours import PAPER, PAPER_DARK, contrast
from tallystick.core.entity import Name, Value
from tallystick.core.period import Instant

LEAST_CONTRAST = Decimal("4.5")  # WCAG 2.2, 1.4.3: text of usual size, level AA
MAX_ORIGINS = 20
MAX_URL = 500
_ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?")
_REST = re.compile(r"([/?#][^\s\x00-\x1f\x7f\\\"<>]*)?")
_MAIL = re.compile(r"mailto:[^\s@<>\"]+@[^\s@<>\"]+")

Colour = Annotated[str, msgspec.Meta(pattern=r"^#[0-9a-fA-F]{6}$(?!\n)")]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL)]


class PortalPage(StrEnum):
    """What can be left out of the portal. The overview is always there."""

    BILLS = "BILLS"
    BALANCES = "BALANCES"
    ALERTS = "ALERTS"


class ShownBills(StrEnum):
    """Which bills customers see: approved ones (locked ones among them), or only locked ones."""

    APPROVED = "APPROVED"
    LOCKED = "LOCKED"


class PortalSettings(Value, frozen=True, kw_only=True):
    """How the portal of an organisation looks and what it shows.

    `display_name` stands for the organisation's own name. The accent colours need a contrast of 4.5 to 1 with the
    portal's paper, light and dark. `frame_origins` are the only pages that may embed it; with none, none may.
    """

    kind: ClassVar[str] = "portalsettings"

    display_name: Name | None = None
    accent_colour: Colour = "#0b5c56"
    accent_colour_dark: Colour = "#6fd3c7"
    support_url: Address | None = None
    frame_origins: Annotated[tuple[Address, ...], msgspec.Meta(max_length=MAX_ORIGINS)] = ()
    pages: tuple[PortalPage, ...] = tuple(PortalPage)
    shown_bills: ShownBills = ShownBills.APPROVED

    def check(self) -> None:
        for name, colour, paper in (
            ("accentColour", self.accent_colour, PAPER),
            ("accentColourDark", self.accent_colour_dark, PAPER_DARK),
        ):
            ratio = contrast(colour, paper)
            if ratio < LEAST_CONTRAST:
                rule = f"a contrast of at least {LEAST_CONTRAST} to 1 with {paper}"
                raise ValueError(f"{name}: must have {rule}, so that it can be read; {colour} has {ratio:.2f}")
        for index, origin in enumerate(self.frame_origins):
            if not _ORIGIN.fullmatch(origin):
                rule = "must be an origin such as https://app.example.com, without a path"
                raise ValueError(f"frameOrigins[{index}]: {rule}; got {origin[:80]!r}")
        if len(set(self.pages)) < len(self.pages):
            raise ValueError("pages: each page once")
        if self.support_url is not None and not _MAIL.fullmatch(self.support_url):
            require_web_address(self.support_url, "supportUrl")


class PortalSessionRequest(Value, frozen=True, kw_only=True):
    """A visit of the portal that is allowed: for how many minutes, and how the customer reads times and numbers.

    `timezone` is the organisation's where absent. `return_url` is where the portal's way back leads.
    """

    minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 60
    timezone: str | None = None
    locale: Annotated[str, msgspec.Meta(max_length=40)] = "en"
    return_url: Address | None = None

    def check(self) -> None:
        if self.return_url is not None:
            require_web_address(self.return_url, "returnUrl")


class PortalSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A visit of the portal by one account. Its link opens it once (`opened`); revoked or expired it is over."""

    id: str
    account_id: str
    timezone: str
    locale: str
    created: Instant
    created_by: str
    expires_at: Instant
    return_url: str | None = None
    opened: Instant | None = None
    revoked: Instant | None = None
    revoked_by: str | None = None

    def over(self, now: Instant) -> bool:
        """Whether nothing is shown to it any more."""
        return self.revoked is not None or now >= self.expires_at


def new_session(
    id: str, account_id: str, asked: PortalSessionRequest, zone: str, now: Instant, by: str
) -> PortalSession:
    """The session that a request asks for, from now on."""
    return PortalSession(
        id=id,
        account_id=account_id,
        timezone=asked.timezone or zone,
        locale=asked.locale,
        return_url=asked.return_url,
        created=now,
        created_by=by,
        expires_at=Instant.of(now + timedelta(minutes=asked.minutes)),
    )


def require_web_address(text: str, field: str) -> None:
    """Refuse what is no address of a web page: another scheme would run as a program in the portal's pages."""
    origin = _ORIGIN.match(text)
    rest = text[origin.end() :] if origin else ""
    if origin is None or not _REST.fullmatch(rest):
        raise ValueError(f"{field}: must be an address such as https://example.com/help, got {text[:80]!r}")
