"""Buckets and directories that exports go to: stores that speak S3 and Google's protocol, started by the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

from tallystick.core.entity import Entity
from tallystick.core.export_types import DestinationType, ExportDestination, sealed_for
from tallystick.core.public_address import read_allowed
from tallystick.errors import Refusal
from tallystick.integrations.export_stores import ExportStores, google_options, s3_options
from tallystick.integrations.guarded_http import GuardedHttp
from tallystick.ports.exports import NotDelivered
from tallystick.stores.vault import KeyFileVault

ORGANIZATION, ID = "0b8b7a4c-9c1f-4a53-8d4c-2f5d6f0c8a11", "11111111-2222-4333-8444-555555555555"
SECRET = "very secret"
ROLE = "arn:aws:iam::922609978421:role/exports"
ROOM = 6 << 20  # more than one part of an upload


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[ExportStores]:
    outside = GuardedHttp(read_allowed("127.0.0.1"))
    yield ExportStores(vault=KeyFileVault(tmp_path / "data"), outside=outside, directory=tmp_path / "out")
    outside.close()


@pytest.fixture(scope="module")
def amazon() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="acme-exports")
    server.start()
    yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"  # nothing else says which port it took
    server.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "made.csv.gz"
    made.write_bytes(os.urandom(ROOM))
    return made


def destination(**fields: Any) -> Entity[ExportDestination]:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    value = ExportDestination(name="n", code="c", **fields)
    return Entity(id=ID, version=1, value=value, created=now, created_by="t", modified=now, modified_by="t")


def bucket(stores: ExportStores, endpoint: str, secret: str = SECRET, **fields: Any) -> Entity[ExportDestination]:
    sealed = stores.vault.seal(secret, sealed_for(ID))
    given = {"bucket_name": "acme-exports", "endpoint": endpoint, "access_key_id": "AK", "sealed_secret": sealed}
    return destination(**{**given, **fields})


def test_a_file_is_put_into_a_bucket_whole_and_again(stores: ExportStores, amazon: str, file: Path) -> None:
    own = boto3.client(
        "s3", endpoint_url=amazon, aws_access_key_id="AK", aws_secret_access_key=SECRET, region_name="us-east-1"
    )
    own.create_bucket(Bucket="acme-exports")
    target = stores.open(ORGANIZATION, bucket(stores, amazon))
    for _ in range(2):
        target.put("orgId=1/date=2026-01-01/a.csv.gz", file)
    (found,) = own.list_objects_v2(Bucket="acme-exports")["Contents"]
    assert (found["Key"], found["Size"]) == ("orgId=1/date=2026-01-01/a.csv.gz", ROOM)
    body = own.get_object(Bucket="acme-exports", Key=found["Key"])["Body"].read()
    assert body == file.read_bytes()


def test_a_bucket_that_is_not_there_will_not_be(stores: ExportStores, amazon: str, file: Path) -> None:
    target = stores.open(ORGANIZATION, bucket(stores, amazon, bucket_name="no-such-bucket"))
    with pytest.raises(NotDelivered, match="no-such-bucket did not take a file") as problem:
        target.put("a", file)
    assert problem.value.lasting
    assert SECRET not in str(problem.value)


def test_a_store_that_does_not_answer_may_later(stores: ExportStores, file: Path) -> None:
    target = stores.open(ORGANIZATION, bucket(stores, "http://127.0.0.1:9"))
    with pytest.raises(NotDelivered) as problem:
        target.put("a", file)
    assert not problem.value.lasting


def test_a_file_is_put_into_a_bucket_of_google(stores: ExportStores, google: str, file: Path) -> None:
    given = {"bucket_name": "acme-exports", "project_number": "7", "pool_id": "p", "provider_id": "aws"}
    target = stores.open(ORGANIZATION, destination(destination_type=DestinationType.GCS, endpoint=google, **given))
    for _ in range(2):
        target.put("orgId=1/a.csv.gz", file)
    from pyarrow import fs

    host = google.removeprefix("http://")
    system = fs.GcsFileSystem(anonymous=True, endpoint_override=host, scheme="http")
    with system.open_input_stream("acme-exports/orgId=1/a.csv.gz", compression=None) as stored:
        assert stored.read() == file.read_bytes()


@pytest.mark.parametrize(
    "endpoint", ["http://169.254.169.254", "http://10.0.0.1:9000", "http://localhost:9000", "https://[::1]:9000"]
)
def test_an_endpoint_inside_is_refused_when_it_is_saved_and_when_it_is_reached(tmp_path: Path, endpoint: str) -> None:
    outside = GuardedHttp(read_allowed(""))
    stores = ExportStores(vault=KeyFileVault(tmp_path), outside=outside, directory=None)
    value = bucket(stores, endpoint)
    with pytest.raises(Refusal, match="endpoint"):
        stores.allowed(value.value)
    with pytest.raises(NotDelivered, match="endpoint") as problem:
        stores.open(ORGANIZATION, value)
    assert problem.value.lasting
    outside.close()


def test_a_secret_of_another_data_directory_does_not_open(stores: ExportStores, tmp_path: Path) -> None:
    elsewhere = KeyFileVault(tmp_path / "other").seal(SECRET, sealed_for(ID))
    value = destination(bucket_name="acme-exports", access_key_id="AK", sealed_secret=elsewhere)
    with pytest.raises(NotDelivered, match="enter it again") as problem:
        stores.open(ORGANIZATION, value)
    assert problem.value.lasting


def test_a_role_is_assumed_for_one_organisation_only() -> None:
    options = s3_options(destination(bucket_name="acme-exports", iam_role_arn=ROLE).value, "", ORGANIZATION)
    assert (options["role_arn"], options["external_id"]) == (ROLE, ORGANIZATION)
    assert not {"access_key", "secret_key", "endpoint_override"} & options.keys()
    given = {"bucket_name": "acme-exports", "project_number": "7", "pool_id": "p", "provider_id": "aws"}
    google = destination(destination_type=DestinationType.GCS, service_account_email="x@y.example", **given)
    assert google_options(google.value)["target_service_account"] == "x@y.example"
    assert "anonymous" not in google_options(google.value)


def test_a_directory_is_the_organisations_own(stores: ExportStores, tmp_path: Path, file: Path) -> None:
    target = stores.open(ORGANIZATION, destination(destination_type=DestinationType.LOCAL))
    for _ in range(2):
        target.put("a/b.csv.gz", file)
    own = tmp_path / "out" / ORGANIZATION
    assert [path.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file()] == ["a/b.csv.gz"]
    assert (own / "a/b.csv.gz").read_bytes() == file.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    (own / "link").symlink_to(tmp_path / "elsewhere")
    for path in ("link/x", "../other/x", "/etc/x"):
        with pytest.raises(NotDelivered, match="leads out"):
            target.put(path, file)
    closed = ExportStores(vault=stores.vault, outside=stores.outside, directory=None)
    with pytest.raises(NotDelivered, match="TALLYSTICK_EXPORT_DIR"):
        closed.open(ORGANIZATION, destination(destination_type=DestinationType.LOCAL))
