"""How long somebody stays signed in: hours without use, days at most, whatever the use."""

from __future__ import annotations

from datetime import timedelta

import pytest
from shop import NOW

from tallystick.control import users
from tallystick.control.desk import Desk
from tallystick.core.period import Instant
from tallystick.core.user import Role
from tallystick.errors import Refusal
from tallystick.ports import Records


def after(**span: float) -> Instant:
    return Instant.of(NOW + timedelta(**span))


def session(records: Records, desk: Desk) -> str:
    """The token of somebody who came in at NOW."""
    _, link = users.invite(desk, f"jo@{desk.records.organization_id}.example", Role.SUPPORT)
    _, token = users.set_password(records, link, "correct horse battery", NOW)
    return token


def here(records: Records, token: str, at: Instant) -> bool:
    return users.signed_in(records, token, at) is not None


def test_a_session_without_use_ends_after_eight_hours(records: Records, desk: Desk) -> None:
    token = session(records, desk)
    assert not here(records, token, after(hours=8))
    assert here(records, token, after(hours=8, microseconds=-1))


def test_each_use_prolongs_it(records: Records, desk: Desk) -> None:
    token = session(records, desk)
    assert here(records, token, after(hours=7))
    assert here(records, token, after(hours=14, minutes=59))
    assert not here(records, token, after(hours=22, minutes=59))


def test_use_within_five_minutes_is_not_written(records: Records, desk: Desk) -> None:
    """So the eight hours count from the last use that was."""
    token = session(records, desk)
    assert here(records, token, after(minutes=4))
    assert not here(records, token, after(hours=8))
    assert here(records, token, after(minutes=5))
    assert here(records, token, after(hours=8, minutes=4))


def test_after_seven_days_it_ends_however_much_it_is_used(records: Records, desk: Desk) -> None:
    token = session(records, desk)
    for hours in range(6, 7 * 24, 6):
        assert here(records, token, after(hours=hours)), hours
    assert here(records, token, after(days=7, microseconds=-1))
    assert not here(records, token, after(days=7))


def test_links_end_after_seven_days(records: Records, desk: Desk) -> None:
    _, link = users.invite(desk, f"jo@{desk.records.organization_id}.example", Role.SUPPORT)
    assert users.link_owner(records, link, after(days=7, microseconds=-1))
    with pytest.raises(Refusal, match="has expired"):
        users.link_owner(records, link, after(days=7))
