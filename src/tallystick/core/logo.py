"""The logo of a portal: a PNG or an SVG that can do nothing but be looked at."""

from __future__ import annotations

import base64
import binascii
import re
from enum import StrEnum
from typing import Annotated, ClassVar
from xml.etree import ElementTree as Tree

import msgspec

from tallystick.core.entity import Value

MAX_BYTES = 65_536
MAX_PIXELS = 2_000  # of a side
_PNG = b"\x89PNG\r\n\x1a\n"
_DRAWN = {
    "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "defs", "clipPath", "mask", "use",
    "linearGradient", "radialGradient", "stop", "title", "desc", "symbol", "text", "tspan", "metadata",
}  # fmt: skip
_SVG = "{http://www.w3.org/2000/svg}"
_DECLARATION = re.compile(r"\ufeff?<\?xml\s[^<>?]{0,200}\?>")
_ENCODING = re.compile(r"encoding\s*=\s*['\"](?!utf-8['\"])", re.IGNORECASE)
_REFERENCE = re.compile(r"url\s*\(\s*['\"]?(?!#)|expression|javascript:|@import|\\", re.IGNORECASE)


class LogoType(StrEnum):
    PNG = "image/png"
    SVG = "image/svg+xml"


class PortalLogo(Value, frozen=True, kw_only=True):
    """A logo: its type, and its bytes in base64; at most 64 KiB."""

    kind: ClassVar[str] = "portallogo"

    media_type: LogoType
    content: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_BYTES * 4 // 3 + 4)]

    @property
    def data(self) -> bytes:
        """The picture itself."""
        return base64.b64decode(self.content)

    def check(self) -> None:
        try:
            data = base64.b64decode(self.content, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("content: must be the file in base64") from None
        if len(data) > MAX_BYTES:
            raise ValueError(f"content: at most {MAX_BYTES} bytes, got {len(data)}")
        problem = _png_problem(data) if self.media_type is LogoType.PNG else _svg_problem(data)
        if problem:
            raise ValueError(f"content: {problem}")


def _png_problem(data: bytes) -> str:
    if not data.startswith(_PNG) or data[12:16] != b"IHDR" or len(data) < 45:
        return "is no PNG; save the logo as PNG or SVG"
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if not (0 < width <= MAX_PIXELS and 0 < height <= MAX_PIXELS):
        return f"has {width} by {height} pixels; at most {MAX_PIXELS} by {MAX_PIXELS}"
    return ""


def _svg_problem(data: bytes) -> str:
    """Why this is no drawing that is shown: only shapes are, which refer to nothing outside themselves."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "is no text in UTF-8; save the logo as plain SVG"
    # Entities are declared in a DOCTYPE: without one, nothing in the text can grow or be fetched.
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        return "has a DOCTYPE; save the logo as plain SVG without one"
    declaration = _DECLARATION.match(text)
    if declaration is not None and _ENCODING.search(declaration[0]):
        return "declares an encoding that is not UTF-8; save the logo in UTF-8"
    # What reads the text drops them: a stylesheet that one of them names would be fetched all the same.
    if text.count("<?") > (declaration is not None):
        return "has a processing instruction, such as one that names a stylesheet; save the logo as plain SVG"
    try:
        root = Tree.fromstring(text.encode())  # noqa: S314  it has no DOCTYPE, hence no entities
    except (Tree.ParseError, RecursionError, ValueError):
        return "is no well-formed SVG; save the logo as plain SVG"
    if root.tag != f"{_SVG}svg":
        return "is no SVG: its root must be svg, in the namespace http://www.w3.org/2000/svg"
    return next((problem for each in root.iter() if (problem := _element_problem(each))), "")


def _element_problem(element: Tree.Element) -> str:
    tag = element.tag.removeprefix(_SVG) if isinstance(element.tag, str) else "a processing instruction"
    if tag not in _DRAWN:
        return f"has {tag[:40]!r}: a logo is drawn of shapes and plain text only; save it as plain SVG"
    for name, value in element.attrib.items():
        local = name.rpartition("}")[2].lower()
        foreign = local == "href" and not value.strip().startswith("#")
        if local.startswith("on") or foreign or _REFERENCE.search(value):
            return f"has {local[:40]!r} on {tag!r}, which runs or fetches something; take it out"
    return ""
