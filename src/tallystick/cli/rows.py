"""Rows of a file that a command reads: what is wrong with the file is how the command fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tallystick.cli.failure import Failure
from tallystick.pipeline import rows
from tallystick.pipeline.rows import FORMATS, Cells, Reader, Row

__all__ = ["FORMATS", "Cells", "Reader", "Row", "format_of", "open_rows"]


def format_of(path: Path) -> str:
    """The format that the file's name tells; Failure when it tells none."""
    try:
        return rows.format_of(path)
    except rows.Unreadable as problem:
        raise Failure(f"{problem}: give --format csv, ndjson or parquet") from None


@contextmanager
def open_rows(path: Path, format: str) -> Iterator[Reader]:
    """The rows of a file in one of `FORMATS`, read from beginning to end in bounded memory."""
    try:
        with rows.open_rows(path, format) as reader:
            yield reader
    except rows.Unreadable as problem:
        raise Failure(str(problem)) from None
