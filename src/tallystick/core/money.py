"""Amounts of money and the one place where they are rounded: when a line becomes money."""

from __future__ import annotations

from enum import StrEnum


class RoundingMode(StrEnum):
    """How an exact amount becomes a payable one; the names are Java's, as on the wire."""

    UP = "UP"
    DOWN = "DOWN"
    CEILING = "CEILING"
    FLOOR = "FLOOR"
    HALF_UP = "HALF_UP"
    HALF_DOWN = "HALF_DOWN"
    HALF_EVEN = "HALF_EVEN"
    UNNECESSARY = "UNNECESSARY"
