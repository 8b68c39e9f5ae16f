"""Times in formulas: a time is the number of milliseconds since 1970 began in UTC, with exact fractions.

There is no present here: a formula gives the same answer whenever it is computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from tallystick.core.expression.tree import CalculationError
from tallystick.core.period import Instant
from tallystick.core.quantity import EXACT, negate, tidy

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = Decimal(1000)
_MOST = Decimal(10**15)  # beyond the year 9999
_UTC = "UTC"
_TOKEN = re.compile(r"'(?P<quoted>(?:[^']|'')*)'|yyyy|MM|dd|HH|mm|ss|SSSSSS|SSS|X|(?P<literal>[^A-Za-z'])")
_READ = {
    "yyyy": r"(?P<year>[0-9]{4})",
    "MM": r"(?P<month>[0-9]{2})",
    "dd": r"(?P<day>[0-9]{2})",
    "HH": r"(?P<hour>[0-9]{2})",
    "mm": r"(?P<minute>[0-9]{2})",
    "ss": r"(?P<second>[0-9]{2})",
    "SSS": r"(?P<fraction>[0-9]{3})",
    "SSSSSS": r"(?P<fraction>[0-9]{6})",
    "X": r"(?P<offset>Z|[+-][0-9]{2}(?::?[0-9]{2})?)",
}


def millis(moment: datetime) -> Decimal:
    """A moment as formulas see it."""
    whole = (moment - _EPOCH) // timedelta(microseconds=1)
    return tidy(Decimal(whole).scaleb(-3, EXACT))


def parse(text: str, pattern: str | None = None) -> Decimal:
    """The time that a text names: in ISO 8601, or by a pattern. Without an offset it is UTC."""
    if pattern is None:
        try:
            return millis(Instant.parse(text))
        except ValueError as problem:
            raise CalculationError("DateTime.parse", str(problem)) from None
    match = _reader(pattern).fullmatch(text)
    if match is None:
        raise CalculationError("DateTime.parse", f"{text[:40]!r} is not of the form {pattern[:40]!r}")
    found = match.groupdict()
    given = {name: int(found[name]) for name in ("hour", "minute", "second") if found.get(name)}
    fraction = (found.get("fraction") or "").ljust(6, "0")
    offset = (found.get("offset") or "Z").replace("Z", "+0000").replace(":", "").ljust(5, "0")
    shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
    try:
        year, month, day = (
            int(found.get(name) or default) for name, default in (("year", 1970), ("month", 1), ("day", 1))
        )
        moment = datetime(year, month, day, **given, microsecond=int(fraction), tzinfo=UTC)
        return millis(moment + shift if offset[0] == "-" else moment - shift)
    except (ValueError, OverflowError):
        raise CalculationError("DateTime.parse", f"there is no time {text[:40]!r}") from None


def render(time: Decimal, pattern: str, zone: str = _UTC) -> str:
    """A time by a pattern of yyyy MM dd HH mm ss SSS SSSSSS X, other characters as they are, letters in quotes."""
    moment = _local(time, zone)
    return "".join(_part(moment, token) for token in _tokens(pattern))


def part(take: Callable[[datetime], int]) -> Callable[..., Decimal]:
    """A function that takes a number from a time in a zone."""

    def of(time: Decimal, zone: str = _UTC) -> Decimal:
        return Decimal(take(_local(time, zone)))

    return of


def _local(time: Decimal, zone: str) -> datetime:
    try:
        place = _zone(zone)
    except (ValueError, OSError, LookupError):
        raise CalculationError("DateTime", f"there is no time zone {zone[:40]!r}") from None
    # What is beyond _MOST is beyond the year 9999 too.
    whole = int(EXACT.multiply(max(min(time, _MOST), negate(_MOST)), _MICROSECONDS).to_integral_value(ROUND_FLOOR))
    try:
        return (_EPOCH + timedelta(microseconds=whole)).astimezone(place)
    except OverflowError:
        raise CalculationError("DateTime", "the time is not within the years 1 to 9999") from None


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=256)
def _tokens(pattern: str) -> tuple[tuple[str, bool], ...]:
    """The parts of a pattern, each with whether it is a literal."""
    found: list[tuple[str, bool]] = []
    place = 0
    while place < len(pattern):
        match = _TOKEN.match(pattern, place)
        if match is None:
            known = "yyyy MM dd HH mm ss SSS SSSSSS X"
            raise CalculationError("DateTime", f"the pattern has {pattern[place]!r}; there are {known}, and 'text'")
        place = match.end()
        quoted = match["quoted"]
        text = match[0] if quoted is None else quoted.replace("''", "'") or "'"
        found.append((text, quoted is not None or match["literal"] is not None))
    return tuple(found)


@lru_cache(maxsize=256)
def _reader(pattern: str) -> re.Pattern[str]:
    tokens = _tokens(pattern)
    letters = [text for text, literal in tokens if not literal]
    names = ["SSS" if each == "SSSSSS" else each for each in letters]
    if len(set(names)) < len(names):
        raise CalculationError("DateTime.parse", "the pattern has a part twice")
    return re.compile("".join(re.escape(text) if literal else _READ[text] for text, literal in tokens), re.ASCII)


def _part(moment: datetime, token: tuple[str, bool]) -> str:
    text, literal = token
    if literal:
        return text
    match text:
        case "yyyy":
            return f"{moment.year:04}"
        case "SSS":
            return f"{moment.microsecond // 1000:03}"
        case "SSSSSS":
            return f"{moment.microsecond:06}"
        case "X":
            return _offset(moment)
        case _:
            names = {"MM": "month", "dd": "day", "HH": "hour", "mm": "minute", "ss": "second"}
            return f"{getattr(moment, names[text]):02}"


def _offset(moment: datetime) -> str:
    shift = moment.utcoffset() or timedelta(0)
    minutes = abs(shift) // timedelta(minutes=1)
    if not minutes:
        return "Z"
    rest = f"{minutes % 60:02}" if minutes % 60 else ""
    return f"{'-' if shift < timedelta(0) else '+'}{minutes // 60:02}{rest}"
