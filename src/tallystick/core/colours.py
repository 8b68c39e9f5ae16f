"""Colours: whether one can be read on another, by the contrast that WCAG 2.2 defines, and a stylesheet of them."""

from __future__ import annotations

from decimal import Context, Decimal
from functools import lru_cache

PAPER, PAPER_DARK = "#ffffff", "#15191c"  # what the portal's pages are printed on, by day and by night
INK, INK_DARK = "#ffffff", "#0c1012"  # what stands on an accent colour
_DIGITS = Context(prec=12)
_SHARES = (Decimal("0.2126"), Decimal("0.7152"), Decimal("0.0722"))  # of red, green and blue in brightness
_LINEAR_UP_TO = Decimal("0.04045")
_FLARE = Decimal("0.05")


@lru_cache(maxsize=256)
def contrast(colour: str, other: str) -> Decimal:
    """From 1 (the same) to 21 (black on white), of colours such as #0b5c56."""
    brighter, darker = sorted((_luminance(colour), _luminance(other)), reverse=True)
    return _DIGITS.divide(brighter + _FLARE, darker + _FLARE)


def _luminance(colour: str) -> Decimal:
    parts = [_linear(int(colour[start : start + 2], 16)) for start in (1, 3, 5)]
    return sum((_DIGITS.multiply(share, part) for share, part in zip(_SHARES, parts, strict=True)), Decimal(0))


def _linear(level: int) -> Decimal:
    """One channel of sRGB, 0 to 255, as light."""
    share = _DIGITS.divide(Decimal(level), Decimal(255))
    if share <= _LINEAR_UP_TO:
        return _DIGITS.divide(share, Decimal("12.92"))
    base = _DIGITS.divide(share + Decimal("0.055"), Decimal("1.055"))
    return _DIGITS.power(base, Decimal("2.4"))


def theme_css(accent: str, accent_dark: str) -> bytes:
    """The accent colours as a stylesheet: variables that every other rule refers to."""
    day = f":root{{--accent:{accent};--on-accent:{INK}}}"
    night = f"@media(prefers-color-scheme:dark){{:root{{--accent:{accent_dark};--on-accent:{INK_DARK}}}}}"
    return f"{day}\n{night}\n".encode()
