"""Data exports through the official client, unmodified: destinations, schedules, single exports, jobs, downloads."""

from __future__ import annotations

import csv
import gzip
import io
import time
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError, PermissionDeniedError
from pyarrow import parquet
from storefront import NOWHERE, Storefront, read, refused, send

from tallystick.cli.launch import Server, free_port, launched
from tallystick.core import wire
from tenant import Tenant, new_tenant

WAIT_SECONDS = 30
OPERATIONAL = (
    *("BILLS", "COMMITMENTS", "ACCOUNTS", "BALANCES", "CONTRACTS", "ACCOUNT_PLANS", "AGGREGATIONS", "PLANS", "PRICING"),
    *("PRICING_BANDS", "BILL_LINE_ITEMS", "METERS", "PRODUCTS", "COMPOUND_AGGREGATIONS", "PLAN_GROUPS"),
    *("PLAN_GROUP_LINKS", "PLAN_TEMPLATES", "BALANCE_TRANSACTIONS", "TRANSACTION_TYPES", "CHARGES"),
)
ROLE = "arn:aws:iam::922609978421:role/exports"
S3: dict[str, Any] = {"bucket_name": "acme-exports", "iam_role_arn": ROLE}
GCS: dict[str, Any] = {
    "destination_type": "GCS",
    "bucket_name": "acme-exports",
    "project_number": "77",
    "pool_id": "pool",
    "provider_id": "aws",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's directory for exports."""
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Server]:
    """A server that may put exports into a directory."""
    with launched(tmp_path_factory.mktemp("server"), free_port(), {"TALLYSTICK_EXPORT_DIR": str(folder)}) as running:
        yield running


@pytest.fixture
def tenant(house: Server) -> Tenant:
    return new_tenant(house)


@pytest.fixture
def sdk(tenant: Tenant) -> Iterator[M3ter]:
    with tenant.sdk() as client:
        yield client


@pytest.fixture
def shop(tenant: Tenant) -> Iterator[Storefront]:
    with tenant.http() as plain:
        yield Storefront(plain)


def ended(sdk: M3ter, job_id: str | None) -> Any:
    """A job, once it has ended."""
    assert job_id is not None
    until = time.monotonic() + WAIT_SECONDS
    while (job := sdk.data_exports.jobs.retrieve(job_id)).status in {"PENDING", "RUNNING"}:
        assert time.monotonic() < until, job
        time.sleep(0.05)
    return job


def fetched(sdk: M3ter, job_id: str) -> httpx.Response:
    link = sdk.data_exports.jobs.get_download_url(job_id)
    assert link.url is not None
    reply = httpx.get(link.url)
    assert reply.status_code == 200, reply.text
    return reply


def exported(sdk: M3ter, shape: str, **asked: Any) -> list[dict[str, Any]]:
    """The rows of an export of one file."""
    extra = {"exportFileFormat": shape, **asked}
    job = ended(sdk, sdk.data_exports.create_adhoc(extra_body=extra, **KINDS[asked["sourceType"]]).job_id)
    assert job.status == "SUCCEEDED", job
    content = fetched(sdk, job.id).content
    if shape == "PARQUET":
        rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(content)).to_pylist()
        return rows
    text = gzip.decompress(content).decode()
    if shape == "JSONL":
        return [wire.decode(dict[str, Any], line) for line in text.splitlines()]
    return list(csv.DictReader(io.StringIO(text)))


KINDS: dict[str, Any] = {
    "USAGE": {"source_type": "USAGE"},
    "OPERATIONAL": {"source_type": "OPERATIONAL", "operational_data_types": ["ACCOUNTS"]},
}


def measurement(uid: str, ts: str, amount: str, region: str = "eu") -> dict[str, object]:
    return {
        "uid": uid,
        "meter": "traffic",
        "account": "acme",
        "ts": ts,
        "measure": {"bytes": Decimal(amount)},
        "where": {"region": region},
        "metadata": {"file": "a.txt"},
    }


USED = [
    measurement("a", "2025-01-10T12:00:00Z", "4"),
    measurement("b", "2025-01-10T13:00:00Z", "0.000000000000000001", '=x,"y"\n'),
    measurement("c", "2025-01-20T00:00:00.123456Z", "12345678901234567890.5"),
]
JANUARY = {"startDate": "2025-01-01T00:00:00Z", "endDate": "2025-02-01T00:00:00Z"}


@pytest.mark.parametrize("shape", ["CSV", "JSONL", "PARQUET"])
def test_measurements_are_exported_exactly(sdk: M3ter, shop: Storefront, shape: str) -> None:
    shop.measure(*USED)
    shop.measure(measurement("later", "2025-02-01T00:00:00Z", "7"))
    rows = exported(sdk, shape, sourceType="USAGE", **JANUARY)
    assert [row["uid"] for row in rows] == ["a", "b", "c"]
    assert [Decimal(row["bytes"]) for row in rows] == [
        Decimal(4),
        Decimal("0.000000000000000001"),
        Decimal("12345678901234567890.5"),
    ]
    assert [row["region"] for row in rows] == ["eu", '=x,"y"\n', "eu"]
    assert {row["accountCode"] for row in rows} == {"acme"}
    assert {row["meterCode"] for row in rows} == {"traffic"}
    if shape != "PARQUET":
        assert [row["ts"] for row in rows] == [
            "2025-01-10T12:00:00.000Z",
            "2025-01-10T13:00:00.000Z",
            "2025-01-20T00:00:00.123456Z",
        ]


# ------------------------------------------------------------------------------------------------------ single exports


def test_numbers_computed_from_usage_are_those_of_the_usage_query(sdk: M3ter, shop: Storefront) -> None:
    shop.measure(*USED)
    meter = shop.ids["/meters"]
    asked: dict[str, Any] = {
        "aggregations": [
            {"meterId": meter, "fieldCode": "bytes", "fieldType": "MEASURE", "function": function}
            for function in ("SUM", "COUNT", "MEAN")
        ],
        "groups": [{"groupType": "ACCOUNT"}, {"groupType": "TIME", "frequency": "DAY"}],
        "meterIds": [meter],
        "accountIds": [shop.ids["/accounts"]],
    }
    rows = exported(sdk, "CSV", sourceType="USAGE", **JANUARY, **asked)
    tenth, twentieth = Decimal("4.000000000000000001"), Decimal("12345678901234567890.5")
    assert [(row["startDate"], row["accountCode"]) for row in rows] == [
        ("2025-01-20T00:00:00.000Z", "acme"),
        ("2025-01-10T00:00:00.000Z", "acme"),
    ]
    assert [Decimal(row["bytes.SUM"]) for row in rows] == [twentieth, tenth]
    assert [row["bytes.COUNT"] for row in rows] == ["1", "2"]
    assert [Decimal(row["bytes.MEAN"]) for row in rows] == [twentieth, Decimal("2.0000000000000000005")]
    (kept,) = exported(
        sdk,
        "JSONL",
        sourceType="USAGE",
        **JANUARY,
        dimensionFilters=[{"meterId": meter, "fieldCode": "region", "values": ['=x,"y"\n']}],
    )
    assert kept["uid"] == "b"


def test_every_operational_type_is_exported_with_what_the_api_shows(sdk: M3ter, shop: Storefront) -> None:
    body = {"sourceType": "OPERATIONAL", "operationalDataTypes": OPERATIONAL, "exportFileFormat": "JSONL"}
    made = sdk.data_exports.create_adhoc(
        source_type="OPERATIONAL", operational_data_types=list(OPERATIONAL), extra_body=body
    )
    job = ended(sdk, made.job_id)
    assert (job.status, job.source_type, job.schedule_id) == ("SUCCEEDED", "OPERATIONAL", None)
    reply = fetched(sdk, job.id)
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.testzip() is None
        about = wire.decode(dict[str, Any], archive.read("manifest.json"))
        assert len(archive.namelist()) == len(OPERATIONAL) + 1
        rows: dict[str, list[dict[str, Any]]] = {}
        for file in about["files"]:
            content = archive.read(file["path"])
            assert (len(content), sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
            lines = gzip.decompress(content).decode().splitlines()
            assert len(lines) == file["rowCount"]
            rows[file["type"]] = [wire.decode(dict[str, Any], line) for line in lines]
    assert sum(map(len, rows.values())) == about["rowCount"]
    assert read(shop.http.get(f"/dataexports/jobs/{job.id}/manifest"))["files"] == about["files"]
    for kind, path in {
        "account": "/accounts",
        "product": "/products",
        "meter": "/meters",
        "aggregation": "/aggregations",
        "compound_aggregation": "/compoundaggregations",
        "plan_template": "/plantemplates",
        "plan": "/plans",
        "plan_group": "/plangroups",
        "plan_group_link": "/plangrouplinks",
        "pricing": "/pricings",
        "account_plan": "/accountplans",
        "contract": "/contracts",
        "charge": "/charges",
        "balance": "/balances",
        "commitment": "/commitments",
    }.items():
        shown = {each["id"]: each for each in read(shop.http.get(path))["data"]}
        found = {each["id"]: each for each in rows[kind]}
        assert shown.keys() == found.keys() != set(), kind
        for id_, each in found.items():
            common = each.keys() & shown[id_].keys()
            assert {name: each[name] for name in common} == {name: shown[id_][name] for name in common}, kind
            assert {"id", "version", "dtCreated", "lastModifiedBy"} <= common, kind
    assert {"Top-up"} <= {each["name"] for each in rows["transaction_type"]}
    (band,) = [each for each in rows["pricing_band"] if each["pricingId"] == shop.ids["/pricings"]]
    assert (band["bandType"], band["number"], band["unitPrice"]) == ("PRICING", 1, Decimal("0.25"))


@pytest.mark.parametrize("shape", ["CSV", "PARQUET"])
def test_what_is_nowhere_has_its_columns_all_the_same(sdk: M3ter, shape: str) -> None:
    for asked in ({"sourceType": "USAGE", **JANUARY}, {"sourceType": "OPERATIONAL"}):
        assert exported(sdk, shape, **asked) == []


def test_an_exports_sums_are_those_of_the_bill_and_of_the_usage_query(sdk: M3ter, shop: Storefront) -> None:
    """A standing charge of 20.00 and 0.25 for each byte: 4 + 2.4 + 1 bytes are 1.85."""
    for uid, ts, amount in (("a", "10", "4"), ("b", "10", "2.4"), ("c", "31", "1")):
        shop.measure(measurement(uid, f"2025-01-{ts}T12:00:00Z", amount))
    made = sdk.bill_jobs.create(last_date_in_billing_period="2025-01-31", account_ids=[shop.ids["/accounts"]])
    until = time.monotonic() + WAIT_SECONDS
    while sdk.bill_jobs.retrieve(made.id).status != "COMPLETE":
        assert time.monotonic() < until
        time.sleep(0.05)
    lines = exported(sdk, "PARQUET", sourceType="OPERATIONAL", operationalDataTypes=["BILL_LINE_ITEMS"])
    (bill,) = exported(sdk, "PARQUET", sourceType="OPERATIONAL", operationalDataTypes=["BILLS"])
    used = exported(sdk, "PARQUET", sourceType="USAGE", **JANUARY)
    assert bill["billTotal"] == Decimal("21.85")
    assert sum(line["convertedSubtotal"] for line in lines) == bill["billTotal"]
    (usage,) = [line for line in lines if line["lineItemType"] == "USAGE"]
    assert usage["billId"] == bill["id"]
    body = {
        "aggregations": [
            {"meterId": shop.ids["/meters"], "fieldCode": "bytes", "fieldType": "MEASURE", "function": "SUM"}
        ],
        **JANUARY,
    }
    (asked,) = read(send(shop.http, "POST", "/usage/query", body))["data"]
    assert sum(row["bytes"] for row in used) == usage["quantity"] == asked["bytes.SUM"] == Decimal("7.4")
    assert {type(row["bytes"]) for row in used} == {Decimal}


USAGE, RECORDS = {"sourceType": "USAGE", **JANUARY}, {"sourceType": "OPERATIONAL", "operationalDataTypes": ["BILLS"]}
WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "sourceType"),
    ({"sourceType": "EVERYTHING"}, "sourceType"),
    ({"sourceType": "OPERATIONAL"}, "operationalDataTypes"),
    ({**RECORDS, "operationalDataTypes": []}, "operationalDataTypes"),
    ({**RECORDS, "operationalDataTypes": ["INVOICES"]}, "operationalDataTypes"),
    ({**RECORDS, "meterIds": [NOWHERE]}, "meterIds"),
    ({**RECORDS, **JANUARY}, "startDate"),
    ({"sourceType": "USAGE", "endDate": "2025-02-01T00:00:00Z"}, "startDate"),
    ({"sourceType": "USAGE", "startDate": "2025-02-01T00:00:00Z"}, "endDate"),
    ({**USAGE, "endDate": "2025-01-01T00:00:00Z"}, "endDate"),
    ({**USAGE, "endDate": "2090-01-01T00:00:00Z"}, "endDate"),
    ({**USAGE, "operationalDataTypes": ["BILLS"]}, "operationalDataTypes"),
    ({**USAGE, "meterIds": [NOWHERE]}, "meterIds"),
    ({**USAGE, "accountIds": [NOWHERE]}, "accountIds"),
    ({**USAGE, "groups": [{"groupType": "ACCOUNT"}]}, "groups"),
    ({**USAGE, "destinationIds": [NOWHERE]}, "destinationIds"),
    ({**USAGE, "exportFileFormat": "XLSX"}, "exportFileFormat"),
)


def test_single_exports_that_are_refused(shop: Storefront) -> None:
    for body, field in WRONG:
        said = refused(send(shop.http, "POST", "/dataexports/adhoc", body))
        assert field in said["message"], (body, said)
    assert read(shop.http.get("/dataexports/jobs"))["data"] == []


# ------------------------------------------------------------------------------------------------------ jobs


def test_jobs_are_listed_by_what_is_asked_for(sdk: M3ter, shop: Storefront) -> None:
    asked = {"extra_body": dict(JANUARY)}
    ids = [str(sdk.data_exports.create_adhoc(source_type="USAGE", **asked).job_id) for _ in range(3)]
    for each in ids:
        ended(sdk, each)
    jobs = sdk.data_exports.jobs
    assert [job.id for job in jobs.list()] == ids[::-1], "the newest first"
    assert [job.id for job in jobs.list(page_size=1)] == ids[::-1]
    assert [job.id for job in jobs.list(ids=ids[:2])] == [ids[1], ids[0]]
    assert [job.id for job in jobs.list(status="FAILED")] == []
    assert [job.id for job in jobs.list(status="SUCCEEDED", page_size=100)] == ids[::-1]
    assert [job.id for job in jobs.list(schedule_id=NOWHERE)] == []
    second = jobs.retrieve(ids[1])
    assert second.date_created is not None
    assert second.started_at is not None
    since = second.date_created.isoformat()
    assert [job.id for job in jobs.list(date_created_start=since)] == [ids[2], ids[1]]
    assert [job.id for job in jobs.list(date_created_end=since)] == [ids[0]]
    refused(shop.http.get("/dataexports/jobs", params={"status": "DONE"}))
    with pytest.raises(NotFoundError):
        jobs.retrieve(NOWHERE)
    with pytest.raises(NotFoundError):
        jobs.get_download_url(NOWHERE)


def test_a_link_is_good_for_a_quarter_of_an_hour_and_for_what_it_was_made_for(sdk: M3ter) -> None:
    job = ended(sdk, sdk.data_exports.create_adhoc(source_type="USAGE", extra_body=dict(JANUARY)).job_id)
    before = time.time()
    link = sdk.data_exports.jobs.get_download_url(job.id)
    assert link.url is not None
    assert link.expiration_time is not None
    assert 899 <= link.expiration_time.timestamp() - before <= 902
    assert httpx.get(link.url.replace(job.id, NOWHERE)).status_code == 403
    assert httpx.get(link.url.replace("expires=", "expires=9")).status_code == 403


def test_who_may_not_read_measurements_may_not_have_them_exported(tenant: Tenant, shop: Storefront) -> None:
    scopes = ["config:create", "config:retrieve"]
    made = read(send(shop.http, "POST", "/serviceusers", {"name": "Clerk", "scopes": scopes}))
    key = read(send(shop.http, "POST", f"/serviceusers/{made['id']}/apikeys", {})) if "apiKey" not in made else made
    clerk = Tenant(url=tenant.url, data=tenant.data, id=tenant.id, key=key["apiKey"], secret=key["apiSecret"])
    with clerk.sdk() as limited:
        assert ended(limited, limited.data_exports.create_adhoc(**KINDS["OPERATIONAL"]).job_id).status == "SUCCEEDED"
        with pytest.raises(PermissionDeniedError, match="measurements:retrieve"):
            limited.data_exports.create_adhoc(source_type="USAGE", extra_body=dict(JANUARY))
        with pytest.raises(PermissionDeniedError, match="measurements:retrieve"):
            limited.data_exports.schedules.create(source_type="USAGE", time_period="TODAY")


# ------------------------------------------------------------------------------------------------------ destinations


def test_a_destination_is_created_read_listed_updated_and_deleted(sdk: M3ter) -> None:
    destinations = sdk.data_exports.destinations
    made = destinations.create(**S3, prefix="usage/daily", partition_order="TYPE_FIRST")
    assert (made.version, made.destination_type, made.name) == (1, "S3", "s3://acme-exports/usage/daily")
    assert made.code is not None
    assert made.code.startswith("s3-acme-exports-usage-daily-")
    assert made.partition_order == "TYPE_FIRST"
    google = destinations.create(**GCS, service_account_email="exports@acme.example")
    assert (google.destination_type, google.name) == ("GCS", "gs://acme-exports")
    assert destinations.retrieve(made.id).to_dict() == made.to_dict()
    assert [each.id for each in destinations.list(page_size=1)] == [google.id, made.id]
    assert [each.id for each in destinations.list(ids=[made.id])] == [made.id]
    changed = destinations.update(made.id, **{**S3, "bucket_name": "other-bucket"}, version=1)
    assert (changed.version, changed.name, changed.code) == (2, made.name, made.code)
    assert changed.partition_order == "TIME_FIRST", "what is not given is as by default"
    with pytest.raises(BadRequestError, match="version 2"):
        destinations.update(made.id, **S3, version=1)
    schedule = sdk.data_exports.schedules.create(
        source_type="OPERATIONAL", operational_data_types=["BILLS"], extra_body={"destinationIds": [made.id]}
    )
    with pytest.raises(BadRequestError, match="refer"):
        destinations.delete(made.id)
    sdk.data_exports.schedules.delete(schedule.id)
    assert destinations.delete(made.id).id == made.id
    with pytest.raises(NotFoundError):
        destinations.retrieve(made.id)


KEYS = {"accessKeyId": "AK", "secretAccessKey": "very secret", "region": "eu-west-1"}
BUCKET = {"bucketName": "acme-exports", "iamRoleArn": ROLE}
WRONG_DESTINATIONS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "bucketName"),
    ({"bucketName": "acme-exports"}, "iamRoleArn"),
    ({**BUCKET, "bucketName": "ab"}, "bucketName"),
    ({**BUCKET, "bucketName": "a" * 64}, "bucketName"),
    ({**BUCKET, "bucketName": "a/../b"}, "bucketName"),
    ({**BUCKET, "iamRoleArn": "arn:aws:s3:::bucket"}, "iamRoleArn"),
    ({**BUCKET, "prefix": "a/../b"}, "prefix"),
    ({**BUCKET, "prefix": "a//b"}, "prefix"),
    ({**BUCKET, "partitionOrder": "RANDOM"}, "partitionOrder"),
    ({**BUCKET, "poolId": "pool"}, "poolId"),
    ({**BUCKET, "accessKeyId": "AK"}, "secretAccessKey"),
    ({**BUCKET, "secretAccessKey": "very secret"}, "secretAccessKey"),
    ({**BUCKET, "sealedSecret": "v1.xyz"}, ""),
    ({**BUCKET, **KEYS, "endpoint": "ftp://files.example"}, "endpoint"),
    ({**BUCKET, **KEYS, "endpoint": "https://s3.example/path"}, "endpoint"),
    ({**BUCKET, **KEYS, "endpoint": "http://127.0.0.1:9000"}, "endpoint"),
    ({**BUCKET, **KEYS, "endpoint": "https://169.254.169.254"}, "endpoint"),
    ({"destinationType": "GCS", "bucketName": "acme-exports"}, "poolId"),
    ({"destinationType": "GCS", **BUCKET}, "iamRoleArn"),
    ({"destinationType": "LOCAL", "bucketName": "acme-exports"}, "bucketName"),
    ({"destinationType": "FTP"}, "destinationType"),
)


def test_destinations_that_are_refused(shop: Storefront) -> None:
    for body, field in WRONG_DESTINATIONS:
        reply = send(shop.http, "POST", "/dataexports/destinations", body)
        if field:
            assert field in refused(reply)["message"], (body, reply.text)
        else:
            assert "sealedSecret" not in read(reply), "nobody gives what is stored of a secret"


def test_a_secret_is_never_shown_and_stays_with_its_key_and_endpoint(shop: Storefront, tenant: Tenant) -> None:
    http, path = shop.http, "/dataexports/destinations"
    made = read(send(http, "POST", path, {"bucketName": "acme-exports", **KEYS}))
    shown = read(http.get(f"{path}/{made['id']}"))
    listed = http.get(path).text
    assert shown["accessKeyId"] == "AK"
    assert "very secret" not in str(shown) + listed + str(made)
    assert "sealed" not in str(shown) + listed + str(made)
    body = {"bucketName": "acme-exports", "accessKeyId": "AK", "prefix": "new"}
    assert read(send(http, "PUT", f"{path}/{made['id']}", body))["prefix"] == "new"
    for other in ({"accessKeyId": "OTHER"}, {"endpoint": "https://198.51.100.7"}):
        said = refused(send(http, "PUT", f"{path}/{made['id']}", {**body, **other}))
        assert "secretAccessKey" in said["message"], said
    stored = b"".join(each.read_bytes() for each in tenant.data.glob("records.sqlite*"))
    assert b"very secret" not in stored


# ------------------------------------------------------------------------------------------------------ schedules


def test_a_schedule_is_created_read_listed_updated_and_deleted(sdk: M3ter) -> None:
    schedules = sdk.data_exports.schedules
    records = schedules.create(source_type="OPERATIONAL", operational_data_types=["BILLS", "BILL_LINE_ITEMS"])
    shown: dict[str, Any] = records.to_dict()
    assert shown["name"] == "Operational data: bills, bill line items"
    assert shown["code"].startswith("operational-data-bills-bill-line-items-")
    assert (shown["scheduleType"], shown["period"], shown["exportFileFormat"]) == ("DAY", 1, "CSV")
    assert shown["operationalDataTypes"] == ["BILLS", "BILL_LINE_ITEMS"]
    named = {"name": "Usage", "code": "usage", "scheduleType": "HOUR", "period": 6, "offset": 30}
    usage = schedules.create(
        source_type="USAGE", time_period="LAST_12_HOURS", extra_body={**named, "exportFileFormat": "JSONL"}
    )
    assert schedules.retrieve(usage.id).to_dict()["offset"] == 30
    assert [each.id for each in schedules.list(page_size=1)] == [usage.id, records.id]
    assert [each.id for each in schedules.list(ids=[usage.id])] == [usage.id]
    cron = {"cronExpression": "15 6 * * MON"}
    changed = schedules.update(usage.id, source_type="USAGE", time_period="PREVIOUS_WEEK", version=1, extra_body=cron)
    assert (changed.version, changed.to_dict()["code"]) == (2, "usage")
    with pytest.raises(BadRequestError, match="version 2"):
        schedules.update(usage.id, source_type="USAGE", time_period="TODAY", version=1)
    with pytest.raises(BadRequestError, match="code"):
        schedules.create(source_type="USAGE", time_period="TODAY", extra_body={"code": "usage"})
    assert schedules.delete(usage.id).id == usage.id
    with pytest.raises(NotFoundError):
        schedules.retrieve(usage.id)


DAILY = {"sourceType": "USAGE", "timePeriod": "YESTERDAY"}
WRONG_SCHEDULES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"sourceType": "USAGE"}, "timePeriod"),
    ({**DAILY, "timePeriod": "LAST_DECADE"}, "timePeriod"),
    ({**RECORDS, "timePeriod": "TODAY"}, "timePeriod"),
    ({**DAILY, "scheduleType": "WEEK"}, "scheduleType"),
    ({**DAILY, "scheduleType": "AD_HOC"}, "scheduleType"),
    ({**DAILY, "period": 2}, "scheduleType"),
    ({**DAILY, "scheduleType": "DAY", "period": 0}, "period"),
    ({**DAILY, "scheduleType": "DAY", "period": 4}, "period"),
    ({**DAILY, "scheduleType": "MINUTE", "period": 14}, "period"),
    ({**DAILY, "scheduleType": "MINUTE"}, "period"),
    ({**DAILY, "scheduleType": "MINUTE", "period": 15, "offset": 1}, "offset"),
    ({**DAILY, "scheduleType": "DAY", "offset": 24}, "offset"),
    ({**DAILY, "scheduleType": "HOUR", "offset": 60}, "offset"),
    ({**DAILY, "cronExpression": "* * * * *"}, "cronExpression"),
    ({**DAILY, "cronExpression": "at noon"}, "cronExpression"),
    ({**DAILY, "cronExpression": "0 0 * * *", "scheduleType": "DAY"}, "cronExpression"),
    ({**DAILY, "destinationIds": [NOWHERE]}, "destinationIds"),
    ({**DAILY, "meterIds": [NOWHERE]}, "meterIds"),
    ({**DAILY, "code": " spaced "}, "code"),
    ({**DAILY, "name": "n" * 201}, "name"),
)


def test_schedules_that_are_refused(shop: Storefront) -> None:
    for body, field in WRONG_SCHEDULES:
        said = refused(send(shop.http, "POST", "/dataexports/schedules", body))
        assert field in said["message"], (body, said)
