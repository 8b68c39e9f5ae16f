"""Where exports go: buckets that speak S3, buckets of Google, and a directory of the operator's.

Files of buckets are written by Arrow's own file systems, which upload in parts: a file is there when all of it is.
The library is loaded on first use (docs/decisions/0512-where-exports-go.md).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tallystick.core.entity import Entity
from tallystick.core.export_types import DestinationType, ExportDestination, sealed_for
from tallystick.errors import Refusal
from tallystick.ports.exports import NotDelivered, Target
from tallystick.ports.handover import Vault
from tallystick.ports.outside import Outside

CONNECT_SECONDS, ANSWER_SECONDS = 10, 60
BLOCK = 8 << 20
LONGEST_REASON = 300
USUAL_REGION = "us-east-1"  # of stores that speak S3 and have no regions
UNFINISHED = ".part"
# What trying again does not change.
_LASTING = ("NO_SUCH_BUCKET", "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "NOT_FOUND", "404")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportStores:
    """Fulfils `Targets`. `directory` is the operator's for LOCAL destinations, with a folder for each organisation."""

    vault: Vault
    outside: Outside
    directory: Path | None

    def allowed(self, destination: ExportDestination) -> None:
        """See ports.exports.Targets."""
        if destination.destination_type is DestinationType.LOCAL and self.directory is None:
            message = (
                "destinationType: the operator has opened no directory for exports: TALLYSTICK_EXPORT_DIR names one"
            )
            raise Refusal("rule_broken", message, field="destinationType")
        if destination.endpoint is not None:
            self.outside.check(destination.endpoint, field="endpoint")

    def open(self, organization_id: str, destination: Entity[ExportDestination]) -> Target:
        """See ports.exports.Targets."""
        value = destination.value
        try:
            self.allowed(value)
        except Refusal as refusal:
            raise NotDelivered(refusal.message, lasting=True) from None
        if value.destination_type is DestinationType.LOCAL:
            assert self.directory is not None, "looked at above"
            return LocalDirectory(self.directory / organization_id)
        assert value.bucket_name is not None, "a bucket has a name"
        if value.destination_type is DestinationType.GCS:
            return Bucket(value.bucket_name, lambda: _google(value), ())
        secret = ""
        if value.sealed_secret is not None:
            try:
                secret = self.vault.open(value.sealed_secret, sealed_for(destination.id))
            except Refusal as refusal:
                raise NotDelivered(refusal.message, lasting=True) from None
        secrets = (secret,) if secret else ()
        return Bucket(value.bucket_name, lambda: _s3(value, secret, organization_id), secrets)


@dataclass(frozen=True, slots=True)
class LocalDirectory:
    """A folder of this machine."""

    folder: Path

    def put(self, path: str, file: Path) -> None:
        """See ports.exports.Target."""
        own = self.folder.resolve()
        wanted = (own / path).resolve()  # where links lead
        if not wanted.is_relative_to(own):
            raise NotDelivered("the path leads out of the organisation's folder of exports", lasting=True)
        unfinished = wanted.with_name(wanted.name + UNFINISHED)
        try:
            wanted.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as out, file.open("rb") as made:
                shutil.copyfileobj(made, out, BLOCK)
                out.flush()
                os.fsync(out.fileno())
            unfinished.rename(wanted)
        except OSError as problem:
            with suppress(OSError):
                unfinished.unlink()
            raise NotDelivered(f"the directory for exports cannot be written: {problem.strerror}") from None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, through a file system of Arrow's that `connect` makes. `secrets` stand in no message."""

    name: str
    connect: Callable[[], Any]
    secrets: tuple[str, ...]

    def put(self, path: str, file: Path) -> None:
        """See ports.exports.Target."""
        where = f"{self.name}/{path}"
        size = file.stat().st_size
        try:
            system = self.connect()
            # As it is: by itself Arrow would compress what is called .gz once more.
            with system.open_output_stream(where, compression=None) as out, file.open("rb") as made:
                while block := made.read(BLOCK):
                    out.write(block)
            found = system.get_file_info(where).size
        except (OSError, ValueError) as problem:
            raise self._failed(problem) from None
        if found != size:
            raise NotDelivered(f"the bucket {self.name} has {found} bytes of a file of {size}")

    def _failed(self, problem: Exception) -> NotDelivered:
        said = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:LONGEST_REASON]
        for secret in self.secrets:
            said = said.replace(secret, "***")
        lasting = any(code in said.upper().replace(" ", "_") for code in _LASTING)
        return NotDelivered(f"the bucket {self.name} did not take a file: {said}", lasting=lasting)


def s3_options(value: ExportDestination, secret: str, organization_id: str) -> dict[str, Any]:
    """How the bucket of a destination is reached: with its own key, or by the role that it names, which only exports of
    this organisation assume (the role's trust asks for its id as the external id)."""
    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "request_timeout": ANSWER_SECONDS}
    if value.endpoint is not None:
        parsed = urlsplit(value.endpoint)
        options |= {"scheme": parsed.scheme, "endpoint_override": parsed.netloc}
        options["region"] = value.region or USUAL_REGION
    elif value.region is not None:
        options["region"] = value.region
    if value.access_key_id is not None:
        return options | {"access_key": value.access_key_id, "secret_key": secret}
    session = f"tallystick-{organization_id}"
    return options | {"role_arn": value.iam_role_arn, "session_name": session, "external_id": organization_id}


def google_options(value: ExportDestination) -> dict[str, Any]:
    """How a bucket of Google's is reached: by the server's own identity, as the service account if one is named; at
    another endpoint, without any."""
    options: dict[str, Any] = {"retry_time_limit": timedelta(seconds=ANSWER_SECONDS)}
    if value.endpoint is not None:
        parsed = urlsplit(value.endpoint)
        return options | {"anonymous": True, "scheme": parsed.scheme, "endpoint_override": parsed.netloc}
    if value.service_account_email is not None:
        options["target_service_account"] = value.service_account_email
    return options


def _s3(value: ExportDestination, secret: str, organization_id: str) -> Any:
    from pyarrow import fs

    options = s3_options(value, secret, organization_id)
    if "region" not in options:
        options["region"] = fs.resolve_s3_region(value.bucket_name)
    return fs.S3FileSystem(**options)


def _google(value: ExportDestination) -> Any:
    from pyarrow import fs

    return fs.GcsFileSystem(**google_options(value))
