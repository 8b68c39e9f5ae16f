"""How a module says which pages it answers: a `Page` names method, path, who may use it and the function behind it.

The functions are plain and synchronous: a `Visit` in, an answer out. `handler.py` does the rest: the session, the
role, the form's token, the transaction of errors into pages. docs/guides/writing-pages.md shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tallystick.console.form import Form
from tallystick.control.desk import Desk
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant, day_start, local_day
from tallystick.core.user import May, User
from tallystick.errors import Refusal
from tallystick.ports import Actor, Credential, Organization, OrganizationRecords, OrganizationUsage
from tallystick.ports.founded import config_of
from tallystick.web.query import QueryString

if TYPE_CHECKING:
    from tallystick.app import App


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A request of somebody who need not be signed in."""

    app: App
    now: Instant
    path: Mapping[str, str] = field(default_factory=dict)
    query: QueryString = field(default_factory=lambda: QueryString({}))
    form: Form = field(default_factory=lambda: Form({}))
    cookies: Mapping[str, str] = field(default_factory=dict)
    address: str = ""  # of the machine that asks
    base_url: str = ""  # scheme and host that the browser sent the request to
    raw_path: str = ""  # the path as it was asked for
    destination: str = ""  # what the browser wants it for, if it says: "document", "iframe"
    request_id: str = ""

    @property
    def secure(self) -> bool:
        """Whether the browser came over TLS."""
        return self.base_url.startswith("https:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of a signed-in user, bound to its organisation: nothing in it can name another."""

    guest: Guest
    organization: Organization
    records: OrganizationRecords
    usage: OrganizationUsage
    user: Entity[User]
    session: Credential
    config: OrganizationConfig

    @property
    def app(self) -> App:
        return self.guest.app

    @property
    def now(self) -> Instant:
        return self.guest.now

    @property
    def path(self) -> Mapping[str, str]:
        """What stands in the braces of the page's path."""
        return self.guest.path

    @property
    def query(self) -> QueryString:
        return self.guest.query

    @property
    def form(self) -> Form:
        """What was typed; empty unless the page was posted."""
        return self.guest.form

    @property
    def actor(self) -> Actor:
        """The user as the one who changes something."""
        return Actor(id=self.user.id, kind="USER")

    @property
    def desk(self) -> Desk:
        """Where the acts of `control` change something for this user, now."""
        return Desk(records=self.records, actor=self.actor, now=self.now)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the organisation."""
        return ZoneInfo(self.config.timezone)

    def moment(self, name: str, before: Instant | None = None) -> Instant | None:
        """When something begins or ends: a typed day is its first instant in the organisation's time zone.

        The day of `before`, sent back as it was shown, is that very moment again.
        """
        text = self.form.text(name)
        if text is None or len(text) > len("2025-01-31"):
            return self.form.instant(name)
        on = self.form.day(name)
        assert on is not None, "something was typed"
        if before is not None and on == local_day(before, self.config.timezone):
            return before
        try:
            return day_start(on, self.config.timezone)
        except ValueError as problem:
            raise Refusal("invalid_request", f"{name}: {problem}", field=name) from None

    def may(self, what: May) -> bool:
        """Whether the user's role allows something: for buttons that others do not see."""
        return self.user.value.may(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie that scripts cannot read and other sites do not send along. `seconds` 0 takes it away."""

    name: str
    value: str
    seconds: int
    secure: bool
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Html:
    """A page made from a template in `templates/` and the values it shows. `headers` are added, or stand in place of
    the standard ones."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[Cookie, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go on to another page, which shows `notice` once."""

    path: str
    notice: str = ""
    cookies: tuple[Cookie, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A download: bytes with their media type and a file name; without a name the browser shows it."""

    body: bytes
    media_type: str
    name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Html | Redirect | File


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page for signed-in users.

    `title` says in the documentation what it is. `section` marks its place in the navigation. `again` is the page with
    the form: when a POST is refused, it is shown again with what was typed and the reason beside the field. With
    `file_bytes` the form may bring a file, and be so large whatever the limit of other requests is.
    """

    method: str
    path: str
    run: Callable[[Visit], Answer]
    title: str
    may: May = May.SEE
    section: str = ""
    again: Callable[[Visit], Html] | None = None
    file_bytes: int | None = None


def act(
    path: str,
    run: Callable[[Visit], Answer],
    title: str,
    again: Callable[[Visit], Html] | None = None,
    *,
    may: May,
    section: str,
) -> Page:
    """What a form sends. Modules with many bind what theirs have in common."""
    return Page(method="POST", path=path, run=run, title=title, may=may, section=section, again=again)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    """A page for anybody: signing in, links that carry their own permission."""

    method: str
    path: str
    run: Callable[[Guest], Answer]
    title: str
    again: Callable[[Guest], Html] | None = None


def current_config(records: OrganizationRecords) -> OrganizationConfig:
    """The settings of the organisation in force."""
    return config_of(records).value
