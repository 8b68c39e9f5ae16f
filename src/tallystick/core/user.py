"""Users: the people of an organisation, what part each has in it, and what that part lets them do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import Value
from tallystick.core.period import Instant

MAX_EMAIL = 254


class May(StrEnum):
    """What a user may be allowed to do. Every page names one of these."""

    SEE = "SEE"  # look at everything of the organisation but its users and keys
    MEND = "MEND"  # correct, replay and discard failed measurements; give customers links to their portal
    CONFIGURE = "CONFIGURE"  # change what is counted and sold, accounts and what they agreed to
    BILL = "BILL"  # run, approve, lock, recalculate bills; credits and debits
    ADMINISTER = "ADMINISTER"  # settings, users, API keys


class Role(StrEnum):
    """The part that a user has in the organisation."""

    ADMIN = "ADMIN"
    BILLING = "BILLING"
    SUPPORT = "SUPPORT"
    READ_ONLY = "READ_ONLY"


# The one table of what each role may do.
ALLOWED: Mapping[Role, frozenset[May]] = {
    Role.ADMIN: frozenset(May),
    Role.BILLING: frozenset({May.SEE, May.MEND, May.CONFIGURE, May.BILL}),
    Role.SUPPORT: frozenset({May.SEE, May.MEND}),
    Role.READ_ONLY: frozenset({May.SEE}),
}


class User(Value, frozen=True, kw_only=True):
    """A person who signs in to the console. Who may no longer has a `dt_end_access` that has come."""

    kind: ClassVar[str] = "user"
    filters: ClassVar[tuple[str, ...]] = ("email",)

    email: Annotated[str, msgspec.Meta(min_length=3, max_length=MAX_EMAIL)]
    role: Role
    first_name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    last_name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    contact_number: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    dt_end_access: Instant | None = None

    def check(self) -> None:
        if self.email != address(self.email):
            raise ValueError(f"email: write it as {address(self.email)!r}")

    @property
    def name(self) -> str:
        """How pages call the person."""
        return f"{self.first_name} {self.last_name}".strip() or self.email

    def may_sign_in(self, now: Instant) -> bool:
        """Whether access has not ended."""
        return self.dt_end_access is None or now < self.dt_end_access

    def may(self, what: May) -> bool:
        """Whether the user's role allows it."""
        return what in ALLOWED[self.role]


def address(text: str) -> str:
    """An email address as it is kept and compared: without surrounding space, in small letters. Raises ValueError for
    what cannot be one."""
    email = text.strip().lower()
    local, at, domain = email.rpartition("@")
    printable = email.isprintable() and not any(each.isspace() for each in email)
    if not (at and local and domain and printable and len(email) <= MAX_EMAIL):
        raise ValueError(f"email: must be an address such as jo@company.example, got {text[:80]!r}")
    return email
