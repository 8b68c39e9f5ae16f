"""A file that is sent to be held against what is counted here."""

from __future__ import annotations

import re

import msgspec

from tallystick.core.period import Instant

KIND = "sourceupload"  # of document
KEPT_DAYS = 30
MAX_PART = 8_388_608  # bytes of one part
MAX_FILE = 2_147_483_648  # bytes of all of them


_ENDING = re.compile(r"\.(csv|tsv|ndjson|jsonl|parquet)(\.gz)?\Z")


class SourceUpload(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`bytes` is how much of it has come so far. The file goes after 30 days."""

    id: str
    version: int
    name: str
    bytes: int
    dt_created: Instant
    created_by: str

    @property
    def stored(self) -> str:
        """What the file is called where it is kept: its ending tells its format."""
        return self.id + ending_of(self.name)


def ending_of(name: str) -> str:
    """The ending of a file's name that tells its format; ValueError when it tells none."""
    found = _ENDING.search(name.lower())
    if found is None:
        raise ValueError(f"must end with .csv, .tsv, .ndjson, .jsonl or .parquet (and .gz), got {name[:40]!r}")
    return found.group()
