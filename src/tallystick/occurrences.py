"""How many times each key was met, counted on the disk beyond a few megabytes: for files of any length."""

from __future__ import annotations

import sqlite3


class Occurrences:
    """How many times each key was met. Counted on the disk beyond a few megabytes, so that any file fits."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None)  # the empty name is a private file that vanishes
        self._table.execute("PRAGMA journal_mode=OFF")
        self._table.execute("PRAGMA synchronous=OFF")
        self._table.execute("CREATE TABLE met (key BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        self._table.execute("BEGIN")  # never ended: a transaction for each count would cost as much as the count

    def count(self, key: bytes) -> int:
        """Count the key once more; 1 when it is new."""
        sentence = "INSERT INTO met VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1 RETURNING times"
        times: int = self._table.execute(sentence, (key,)).fetchone()[0]
        return times

    def close(self) -> None:
        """Drop the counts."""
        self._table.close()
