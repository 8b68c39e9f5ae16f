"""Files in a bucket of S3, or of what speaks as S3 does, read by pyarrow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tallystick.core.source_upload import MAX_FILE, ending_of
from tallystick.core.usage_source import S3From
from tallystick.errors import Refusal
from tallystick.ports.feeds import FileThere

CONNECT_SECONDS, ANSWER_SECONDS = 5, 30
PART = 4_194_304


class S3Shelf:
    """An object appears whole or not at all; one that is written anew has another time or size."""

    def __init__(self, source: S3From, credentials: Mapping[str, str]) -> None:
        from pyarrow import fs

        if not credentials:
            raise Refusal("source_failed", "credentials: this source needs accessKeyId and secretAccessKey")
        origin = urlsplit(source.endpoint or "")
        self._source = source
        self._selector = fs.FileSelector
        self._origin = f"s3://{origin.netloc or source.region}/{source.bucket}"
        self._files: Any = fs.S3FileSystem(
            access_key=credentials["accessKeyId"],
            secret_key=credentials["secretAccessKey"],
            region=source.region,
            endpoint_override=origin.netloc or None,
            scheme=origin.scheme or "https",
            connect_timeout=CONNECT_SECONDS,
            request_timeout=ANSWER_SECONDS,
        )

    def files(self) -> Sequence[FileThere]:
        """See `ports.feeds.Shelf`."""
        source = self._source
        folder = source.prefix.rpartition("/")[0]
        try:
            found = self._files.get_file_info(
                self._selector(f"{source.bucket}/{folder}".rstrip("/"), allow_not_found=bool(folder), recursive=True)
            )
        except OSError as problem:
            raise _failed(problem) from None
        there: list[tuple[datetime, FileThere]] = []
        for each in found:
            name = each.path.removeprefix(f"{source.bucket}/")
            if each.is_file and name.startswith(source.prefix) and self._wanted(name):
                written = each.mtime or datetime.fromtimestamp(0, UTC)
                there.append((written, FileThere(name, each.size, f"{each.mtime_ns}-{each.size}", self._origin)))
        return [file for _, file in sorted(there, key=lambda each: (each[0], each[1].name))]

    def _wanted(self, name: str) -> bool:
        try:
            ending_of(name)
        except ValueError:
            return False
        return fnmatchcase(name.rpartition("/")[2], self._source.pattern)

    @contextmanager
    def opened(self, file: FileThere) -> Iterator[Path]:
        """See `ports.feeds.Shelf`: a copy, for the formats are read from files."""
        if file.size > MAX_FILE:
            raise Refusal("source_failed", f"{file.name}: has more than {MAX_FILE:,} bytes; split it")
        with tempfile.TemporaryDirectory(prefix="tallystick-") as folder:
            path = Path(folder) / f"file{ending_of(file.name)}"
            try:
                with (
                    self._files.open_input_stream(f"{self._source.bucket}/{file.name}", compression=None) as inside,
                    path.open("wb") as out,
                ):
                    shutil.copyfileobj(inside, out, PART)
            except OSError as problem:
                raise _failed(problem) from None
            yield path

    def is_as_it_was(self, file: FileThere) -> bool:
        """See `ports.feeds.Shelf`: what is read is a copy of a whole object."""
        return True

    def finished(self, file: FileThere) -> None:
        """What was read is remembered; nothing is written there."""

    def close(self) -> None:
        """Nothing is held."""


def _failed(problem: OSError) -> Refusal:
    return Refusal("source_failed", f"S3: {str(problem)[:300]}")
