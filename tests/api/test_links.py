"""Signed links: good for five minutes, for one path and one query, and made by this server only."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.web.links import sign, verify

KEY = b"k" * 32
NOW = Instant.parse("2025-06-01T12:00:00Z")
PATH = "/organizations/o/measurements/failedIngest/download"


def opened(link: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(link)
    return parts.path, dict(parse_qsl(parts.query))


def test_a_link_opens_for_five_minutes() -> None:
    path, query = opened(sign(KEY, PATH, {"file": "event/é&x=1"}, NOW))
    assert (path, query["file"]) == (PATH, "event/é&x=1")
    verify(KEY, path, query, NOW)
    verify(KEY, path, query, Instant.of(NOW + timedelta(seconds=300)))
    with pytest.raises(Refusal, match="expired"):
        verify(KEY, path, query, Instant.of(NOW + timedelta(seconds=301)))


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        (PATH + "x", {}),
        (PATH, {"file": "event/2"}),
        (PATH, {"expires": "99999999999"}),
        (PATH, {"expires": "x"}),
        (PATH, {"more": "1"}),
        (PATH, {"signature": ""}),
        (PATH, {"signature": "é"}),
        (PATH, {"signature": "0" * 64}),
    ],
)
def test_any_change_breaks_it(path: str, changes: dict[str, str]) -> None:
    _, query = opened(sign(KEY, PATH, {"file": "event/1"}, NOW))
    with pytest.raises(Refusal, match="not made by this server"):
        verify(KEY, path, query | changes, NOW)


def test_another_key_or_no_signature_opens_nothing() -> None:
    path, query = opened(sign(KEY, PATH, {"file": "event/1"}, NOW))
    for key, given in ((b"x" * 32, query), (KEY, {"file": "event/1"}), (KEY, {})):
        with pytest.raises(Refusal) as refused:
            verify(key, path, given, NOW)
        assert refused.value.code.name == "forbidden"
