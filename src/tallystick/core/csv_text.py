"""CSV as it is written everywhere here: RFC 4180, a cell quoted only where it must be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_BEGINS_A_FORMULA = re.compile(r"\s*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")


def csv_bytes(lines: Iterable[Sequence[str]]) -> bytes:
    """Lines of cells as UTF-8, each line ended by CR LF."""
    return "".join(",".join(map(_quoted, cells)) + "\r\n" for cells in lines).encode()


def spreadsheet_safe(text: str) -> str:
    """A text that a spreadsheet takes for text: one that it would run as a formula gets an apostrophe before it. Not
    for numbers, which may begin with a minus."""
    return "'" + text if text.lstrip(" ")[:1] in _FORMULA else text


_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell


def harmless(cell: str) -> str:
    """A text that no spreadsheet takes for a formula: one that could begin one stands behind an apostrophe. A number is
    no formula, a negative one neither, and stays a number."""
    return "'" + cell if _BEGINS_A_FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
