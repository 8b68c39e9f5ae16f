"""CSV as it is written everywhere here: RFC 4180, a cell quoted only where it must be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
