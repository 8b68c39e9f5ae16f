"""CSV as it is written everywhere here: RFC 4180, a cell quoted only where it must be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def csv_bytes(lines: Iterable[Sequence[str]]) -> bytes:
    """Lines of cells as UTF-8, each line ended by CR LF."""
    return "".join(",".join(map(_quoted, cells)) + "\r\n" for cells in lines).encode()


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell
