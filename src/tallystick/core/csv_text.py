"""CSV as it is written everywhere here: RFC 4180, a cell quoted only where it must be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def csv_bytes(lines: Iterable[Sequence[str]]) -> bytes:
    """Lines of cells as UTF-8, each line ended by CR LF."""
    return "".join(",".join(map(_quoted, cells)) + "\r\n" for cells in lines).encode()


def spreadsheet_safe(text: str) -> str:
    """A text that a spreadsheet takes for text: where it would run a formula there is an apostrophe before it. Not for
    numbers, which may begin with a minus.

    Where the decimal sign is a comma, spreadsheets part cells at semicolons, and quotes within such a cell mean
    nothing: what comes after a semicolon, a tab or the end of a line may begin a cell there.
    """
    body = text.lstrip()
    lead = text[: len(text) - len(body)]
    guard = "'" if (body and body[0] in _FORMULA) or lead.strip(" ") else ""
    return guard + _LATER.sub(r"\1'", text)


_FORMULA = frozenset("=+-@＝＋－＠")
_LATER = re.compile(r"([;\t\r\n][ \xa0\"]*)(?=[=+\-@＝＋－＠])")


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell
