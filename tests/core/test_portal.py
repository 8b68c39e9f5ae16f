"""The portal's settings: colours that can be read, origins that are origins, logos that do nothing."""

from __future__ import annotations

import base64
import struct
import zlib
from decimal import Decimal

import msgspec
import pytest

from tallystick.core import wire
from tallystick.core.colours import contrast, theme_css
from tallystick.core.logo import PortalLogo
from tallystick.core.portal import PortalSessionRequest, PortalSettings


def settings(**given: object) -> PortalSettings:
    return wire.decode(PortalSettings, wire.encode(given))


def test_contrast_is_that_of_the_standard() -> None:
    """Black on white is 21, a colour on itself 1; #767676 is the well-known lightest grey of 4.5 on white."""
    assert contrast("#000000", "#ffffff") == 21
    assert contrast("#abcdef", "#abcdef") == 1
    assert contrast("#767676", "#ffffff") == contrast("#ffffff", "#767676")
    assert round(contrast("#767676", "#ffffff"), 2) == Decimal("4.54")
    assert contrast("#777777", "#ffffff") < Decimal("4.5")


def test_the_defaults_hold_their_own_rules() -> None:
    assert b"--accent:#0b5c56" in theme_css(settings().accent_colour, settings().accent_colour_dark)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"accentColour": "#ffcc00"}, "accentColour: must have a contrast"),
        ({"accentColourDark": "#202020"}, "accentColourDark: must have a contrast"),
        ({"accentColour": "red;}body{display:none"}, "accentColour"),
        ({"accentColour": "#000000\n"}, "accentColour"),
        ({"frameOrigins": ["https://app.example/path"]}, r"frameOrigins\[0\]"),
        ({"frameOrigins": ["https://*"]}, r"frameOrigins\[0\]"),
        ({"frameOrigins": ["https://a.example; script-src *"]}, r"frameOrigins\[0\]"),
        ({"frameOrigins": ["javascript:alert(1)"]}, r"frameOrigins\[0\]"),
        ({"supportUrl": "javascript:alert(1)"}, "supportUrl"),
        ({"supportUrl": 'https://help.example/" onclick="x'}, "supportUrl"),
        ({"supportUrl": "mailto:a b@example.com"}, "supportUrl"),
        ({"pages": ["BILLS", "BILLS"]}, "pages"),
        ({"shownBills": "PENDING"}, "shownBills"),
    ],
)
def test_settings_that_would_harm_are_refused(body: dict[str, object], field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        settings(**body)


def test_what_a_portal_needs_is_taken() -> None:
    kept = settings(
        supportUrl="mailto:help@acme.example",
        frameOrigins=["https://app.acme.example", "http://localhost:3000", "https://[::1]:8443"],
        accentColour="#7A1FA2",
    )
    assert len(kept.frame_origins) == 3


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "//evil.example", "https://user@evil.example", "data:x", "/x"]
)
def test_a_way_back_leads_to_a_web_page(address: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="returnUrl"):
        wire.decode(PortalSessionRequest, wire.encode({"returnUrl": address}))


def svg(inside: str, before: str = "") -> bytes:
    return f'{before}<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{inside}</svg>'.encode()


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


def logo(data: bytes, media_type: str) -> PortalLogo:
    return wire.decode(PortalLogo, wire.encode({"mediaType": media_type, "content": base64.b64encode(data).decode()}))


def test_plain_logos_are_taken_and_kept_as_they_are() -> None:
    drawn = svg('<defs><path id="a" d="M0 0h9"/></defs><use xlink:href="#a"/><rect fill="url(#g)" width="1"/>')
    for data, media_type in ((drawn, "image/svg+xml"), (png(8, 1), "image/png")):
        assert logo(data, media_type).data == data


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"GIF89a", "image/png"),
        (b"\xff\xd8\xff\xe0 jpeg", "image/png"),
        (png(2001, 1), "image/png"),
        (svg(""), "image/png"),
        (png(8, 1), "image/svg+xml"),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'/>", "image/svg+xml"),
        (b"<svg/>", "image/svg+xml"),
        (svg("<script>alert(1)</script>"), "image/svg+xml"),
        (svg("<style>*{background:url(https://evil.example)}</style>"), "image/svg+xml"),
        (svg("<foreignObject/>"), "image/svg+xml"),
        (svg('<rect onload="alert(1)"/>'), "image/svg+xml"),
        (svg('<a href="javascript:alert(1)"><rect/></a>'), "image/svg+xml"),
        (svg('<use xlink:href="https://evil.example/a.svg#a"/>'), "image/svg+xml"),
        (svg('<rect style="fill:url(https://evil.example)"/>'), "image/svg+xml"),
        (svg('<rect fill="u\\72l(//evil.example)"/>'), "image/svg+xml"),
        (svg("&a;", '<!DOCTYPE svg [<!ENTITY a "aaa">]>'), "image/svg+xml"),
        (svg("", '<?xml version="1.0" encoding="UTF-7"?>'), "image/svg+xml"),
        (svg("").decode().encode("utf-16"), "image/svg+xml"),
        (svg("", '<?xml-stylesheet href="https://evil.example/a.css"?>'), "image/svg+xml"),
        (svg("", '<?xml version="1.0"?><?xml-stylesheet href="https://evil.example/a.css"?>'), "image/svg+xml"),
        (svg("", "<?xml " * 9_000), "image/svg+xml"),
        (svg("<rect>"), "image/svg+xml"),
        (svg("<g>" * 50_000), "image/svg+xml"),
        (svg("<!--" + "x" * 70_000 + "-->"), "image/svg+xml"),
    ],
)
def test_no_logo_runs_or_fetches_anything(data: bytes, media_type: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="content"):
        logo(data, media_type)


def test_content_that_is_no_base64_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="base64"):
        wire.decode(PortalLogo, b'{"mediaType":"image/png","content":"***"}')
