"""What an export made as one download: its only file as it is, or all of them with the manifest as a ZIP archive.

Nothing is held in memory but a block: an archive is written as it is read, its members as they lie, for they are
compressed already.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tallystick.control.desk import rule_broken
from tallystick.core import wire
from tallystick.core.export_job import MANIFEST, ExportJob, ExportPart, file_name, manifest, path_of
from tallystick.core.export_types import PartitionOrder

BLOCK = 1 << 20
_WHEN = (1980, 1, 1, 0, 0, 0)  # of members: the same export is the same archive


@dataclass(frozen=True, slots=True)
class Download:
    """A download that is read as it is sent."""

    parts: Iterator[bytes]
    media_type: str
    file_name: str


def download_of(organization_id: str, job: ExportJob, parts: tuple[ExportPart, ...], folder: Path) -> Download:
    """The download of a job that has succeeded. Refusal `rule_broken` where its files are gone."""
    files = [folder / file_name(part, job.form) for part in parts]
    if not all(file.is_file() for file in files):
        raise rule_broken("jobId", "the files of this export are no longer here; ask for the export again")
    if len(files) == 1:
        return Download(_blocks(files[0]), job.form.media_type, files[0].name)
    order = PartitionOrder.TIME_FIRST
    about = wire.encode(manifest(organization_id, job, parts, order, None))
    members = [
        (path_of(organization_id, job, part, order, None), file) for part, file in zip(parts, files, strict=True)
    ]
    return Download(_archive(members, about), "application/zip", f"export-{job.id}.zip")


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as made:
        while block := made.read(BLOCK):
            yield block


def _archive(members: list[tuple[str, Path]], about: bytes) -> Iterator[bytes]:
    """A ZIP archive of files, and last the manifest."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, file in members:
            with archive.open(zipfile.ZipInfo(name, _WHEN), "w", force_zip64=True) as member:
                for block in _blocks(file):
                    member.write(block)
                    yield sink.taken()
        archive.writestr(zipfile.ZipInfo(MANIFEST, _WHEN), about)
        yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What is written until it is taken. It cannot be wound back, so that the archive is written in one go."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        given = bytes(data)  # type: ignore[call-overload]  # the archive writes bytes and views of them
        self._held += given
        return len(given)

    def taken(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held
