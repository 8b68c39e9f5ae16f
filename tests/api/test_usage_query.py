"""Usage queries over HTTP: eight measurements whose sums fit into one's head, and every question about them.

The row keys are those of docs/reference/usage-query.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import httpx
import pytest
from storefront import NOWHERE, read, refused, send

from tallystick.cli.launch import Server
from tenant import Tenant, new_tenant

BIG = "1234567890123456789.123456789"
# uid, account, when, units, cost, model, region. Units are powers of two: every sum says which ones are in it.
CALLS = [
    ("c1", "acme", "2025-01-01T00:30:00Z", 1, "0.1", "a", "eu"),
    ("c2", "acme", "2025-01-01T00:45:00Z", 2, "0.2", "b", "eu"),
    ("c3", "acme", "2025-01-31T23:30:00Z", 4, "0.00001", "a", "us"),  # 1 February in Berlin
    ("c4", "beta", "2025-03-30T00:30:00Z", 8, "0.5", "a", "us"),  # 01:30 in Berlin; half an hour later it is 03:00
    ("c5", "beta", "2025-03-30T01:30:00Z", 16, "0.7", "b", "apac"),
    ("c6", "beta", "2025-04-01T00:00:00Z", 32, BIG, "c", "eu"),
]
DISKS = [("d1", "acme", "2025-01-01T00:00:00Z", "100", "eu"), ("d2", "beta", "2025-02-01T00:00:00Z", "0.333", "us")]


class World:
    """The measurements above in an organisation of its own, once they can be asked for."""

    def __init__(self, tenant: Tenant, http: httpx.Client, zone: str) -> None:
        self.tenant = tenant
        self.http = http
        settings = read(http.get("/organizationconfig"))
        read(send(http, "PUT", "/organizationconfig", {**settings, "timezone": zone}))
        fields = [
            {"code": "units", "name": "Units", "category": "MEASURE", "unit": "1"},
            {"code": "cost", "name": "Cost", "category": "COST", "unit": "USD"},
            {"code": "model", "name": "Model", "category": "WHAT"},
            {"code": "region", "name": "Region", "category": "WHERE"},
            {"code": "note", "name": "Note", "category": "METADATA"},
        ]
        doubled = {"code": "doubled", "name": "Doubled", "category": "MEASURE", "unit": "1", "calculation": "units * 2"}
        self.calls = self.meter("calls", fields, [doubled])
        gigabytes = {"code": "gb", "name": "Gigabytes", "category": "MEASURE", "unit": "GB"}
        self.disks = self.meter("disks", [gigabytes, fields[3]], [])
        self.accounts = {code: self._account(code) for code in ("acme", "beta")}
        self._send()

    def meter(self, code: str, fields: list[dict[str, str]], derived: list[dict[str, str]]) -> str:
        body = {"name": code, "code": code, "dataFields": fields, "derivedFields": derived}
        return str(read(send(self.http, "POST", "/meters", body))["id"])

    def _account(self, code: str) -> str:
        body = {"name": code, "code": code, "emailAddress": f"{code}@example.com"}
        return str(read(send(self.http, "POST", "/accounts", body))["id"])

    def _send(self) -> None:
        batch: list[dict[str, object]] = [
            {
                "uid": uid,
                "meter": "calls",
                "account": account,
                "ts": ts,
                "measure": {"units": units},
                "cost": {"cost": Decimal(cost)},
                "what": {"model": model},
                "where": {"region": region, "undeclared": "kept"},
                "metadata": {"note": f"note {uid}"},
            }
            for uid, account, ts, units, cost, model, region in CALLS
        ]
        batch += [
            {
                "uid": uid,
                "meter": "disks",
                "account": account,
                "ts": ts,
                "measure": {"gb": Decimal(size)},
                "where": {"region": region},
            }
            for uid, account, ts, size, region in DISKS
        ]
        verdicts = read(send(self.http, "POST", "/measurements", {"measurements": batch}))["measurements"]
        assert {each["verdict"] for each in verdicts} == {"accepted"}, verdicts
        until = time.monotonic() + 20
        while len(self.ask()["data"]) < len(batch):
            assert time.monotonic() < until, "the measurements did not arrive in the usage store"
            time.sleep(0.02)

    def ask(self, **query: object) -> dict[str, Any]:
        answer: dict[str, Any] = read(send(self.http, "POST", "/usage/query", query))
        assert answer.keys() - {"nextToken"} == {"data", "hasMoreData"}
        return answer

    def rows(self, **query: object) -> list[dict[str, Any]]:
        answer = self.ask(**query)
        assert answer["hasMoreData"] is False
        rows: list[dict[str, Any]] = answer["data"]
        return rows

    def column(self, field: str, function: str, **more: object) -> dict[str, object]:
        kind = "DIMENSION" if field in {"model", "region", "note"} else "MEASURE"
        meter = self.disks if field == "gb" else self.calls
        return {"meterId": meter, "fieldCode": field, "fieldType": kind, "function": function, **more}

    def dimension(self, field: str, meter: str | None = None) -> dict[str, object]:
        return {"groupType": "DIMENSION", "meterId": meter or self.calls, "fieldCode": field}

    def filter(self, field: str, *values: str, meter: str | None = None) -> dict[str, object]:
        return {"meterId": meter or self.calls, "fieldCode": field, "values": values}

    def units(self, **query: object) -> Decimal | int | None:
        """The sum of units under a filter; None where nothing was found."""
        rows = self.rows(aggregations=[self.column("units", "SUM")], **query)
        assert len(rows) <= 1
        return rows[0]["units.SUM"] if rows else None


def made(server: Server, zone: str) -> Iterator[World]:
    tenant = new_tenant(server)
    with tenant.http() as http:
        yield World(tenant, http, zone)


@pytest.fixture(scope="module")
def berlin(server: Server) -> Iterator[World]:
    yield from made(server, "Europe/Berlin")


@pytest.fixture(scope="module")
def utc(server: Server) -> Iterator[World]:
    yield from made(server, "UTC")


ACCOUNT = {"groupType": "ACCOUNT"}


def by(frequency: str) -> dict[str, str]:
    return {"groupType": "TIME", "frequency": frequency}


# -------------------------------------------------------------------------------------------------- functions


@pytest.mark.parametrize(
    ("field", "function", "value"),
    [
        ("units", "SUM", 63),
        ("units", "MIN", 1),
        ("units", "MAX", 32),
        ("units", "COUNT", 6),
        ("units", "LATEST", 32),
        ("units", "MEAN", Decimal("10.5")),
        ("cost", "SUM", Decimal("1234567890123456790.623466789")),
        ("cost", "MIN", Decimal("0.00001")),
        ("cost", "MAX", Decimal(BIG)),
        ("cost", "LATEST", Decimal(BIG)),
        ("doubled", "SUM", 126),
        ("doubled", "MEAN", 21),
        ("model", "COUNT", 6),
        ("model", "UNIQUE", 3),
        ("region", "UNIQUE", 3),
        ("note", "UNIQUE", 6),
        ("gb", "SUM", Decimal("100.333")),
        ("gb", "MEAN", Decimal("50.1665")),
    ],
)
def test_each_function_over_everything(berlin: World, field: str, function: str, value: Decimal | int) -> None:
    assert berlin.rows(aggregations=[berlin.column(field, function)]) == [{f"{field}.{function}": value}]


def test_a_mean_that_does_not_end_has_fifty_digits(berlin: World) -> None:
    """7 / 3, where a binary float would have 16 digits."""
    answer = send(
        berlin.http,
        "POST",
        "/usage/query",
        {"aggregations": [berlin.column("units", "MEAN")], "accountIds": [berlin.accounts["acme"]]},
    )
    assert b'"units.MEAN":2.' + b"3" * 49 + b"}" in answer.content
    with localcontext() as context:
        context.prec = 50
        assert read(answer)["data"][0]["units.MEAN"] == Decimal(7) / Decimal(3)


def test_columns_stand_side_by_side(berlin: World) -> None:
    functions = ("SUM", "MIN", "MAX", "COUNT", "LATEST", "MEAN")
    columns = [berlin.column("units", function) for function in functions] + [berlin.column("model", "UNIQUE")]
    assert berlin.rows(aggregations=columns, accountIds=[berlin.accounts["beta"]]) == [
        {
            "units.SUM": 56,
            "units.MIN": 8,
            "units.MAX": 32,
            "units.COUNT": 3,
            "units.LATEST": 32,
            "units.MEAN": Decimal("18.666666666666666666666666666666666666666666666667"),
            "model.UNIQUE": 3,
        }
    ]


# --------------------------------------------------------------------------------------------------- grouping


def test_by_account(berlin: World) -> None:
    rows = berlin.rows(aggregations=[berlin.column("units", "SUM")], groups=[ACCOUNT])
    assert [row["accountId"] for row in rows] == sorted(berlin.accounts.values())
    assert {row["accountCode"]: row["units.SUM"] for row in rows} == {"acme": 7, "beta": 56}
    assert all(berlin.accounts[row["accountCode"]] == row["accountId"] for row in rows)


@pytest.mark.parametrize(
    ("frequency", "sums"),
    [
        (
            "HOUR",
            {
                "2025-04-01T00:00:00.000Z": 32,
                "2025-03-30T01:00:00.000Z": 16,
                "2025-03-30T00:00:00.000Z": 8,
                "2025-01-31T23:00:00.000Z": 4,
                "2025-01-01T00:00:00.000Z": 3,
            },
        ),
        (
            "DAY",  # 30 March has 23 hours in Berlin
            {
                "2025-03-31T22:00:00.000Z": 32,
                "2025-03-29T23:00:00.000Z": 24,
                "2025-01-31T23:00:00.000Z": 4,
                "2024-12-31T23:00:00.000Z": 3,
            },
        ),
        (
            "WEEK",  # from Monday: 31 March, 24 March, 27 January, 30 December
            {
                "2025-03-30T22:00:00.000Z": 32,
                "2025-03-23T23:00:00.000Z": 24,
                "2025-01-26T23:00:00.000Z": 4,
                "2024-12-29T23:00:00.000Z": 3,
            },
        ),
        (
            "MONTH",
            {
                "2025-03-31T22:00:00.000Z": 32,
                "2025-02-28T23:00:00.000Z": 24,
                "2025-01-31T23:00:00.000Z": 4,
                "2024-12-31T23:00:00.000Z": 3,
            },
        ),
        ("QUARTER", {"2025-03-31T22:00:00.000Z": 32, "2024-12-31T23:00:00.000Z": 31}),
    ],
)
def test_by_time_in_the_organisations_zone_latest_first(berlin: World, frequency: str, sums: dict[str, int]) -> None:
    rows = berlin.rows(aggregations=[berlin.column("units", "SUM")], groups=[by(frequency)])
    assert [(row["startDate"], row["units.SUM"]) for row in rows] == list(sums.items())
    assert all(row.keys() == {"startDate", "units.SUM"} for row in rows)


def test_another_zone_draws_other_months(utc: World) -> None:
    """c3 is still January there."""
    rows = utc.rows(aggregations=[utc.column("units", "SUM")], groups=[by("MONTH")])
    assert [(row["startDate"][:10], row["units.SUM"]) for row in rows] == [
        ("2025-04-01", 32),
        ("2025-03-01", 24),
        ("2025-01-01", 7),
    ]


@pytest.mark.parametrize(
    ("field", "sums"), [("model", {"a": 13, "b": 18, "c": 32}), ("region", {"apac": 16, "eu": 35, "us": 12})]
)
def test_by_dimension(berlin: World, field: str, sums: dict[str, int]) -> None:
    rows = berlin.rows(aggregations=[berlin.column("units", "SUM")], groups=[berlin.dimension(field)])
    assert [(row[field], row["units.SUM"]) for row in rows] == list(sums.items())


def test_groups_within_groups(berlin: World) -> None:
    """Latest time first, then the other groups, rising; only what has measurements has a row."""
    rows = berlin.rows(
        aggregations=[berlin.column("units", "SUM"), berlin.column("units", "COUNT")],
        groups=[berlin.dimension("model"), by("QUARTER"), ACCOUNT],
    )
    assert [
        (row["startDate"][:7], row["model"], row["accountCode"], row["units.SUM"], row["units.COUNT"]) for row in rows
    ] == [
        ("2025-03", "c", "beta", 32, 1),
        *sorted(
            [("2024-12", "a", "acme", 5, 2), ("2024-12", "a", "beta", 8, 1)],
            key=lambda row: berlin.accounts[row[2]],
        ),
        *sorted(
            [("2024-12", "b", "acme", 2, 1), ("2024-12", "b", "beta", 16, 1)],
            key=lambda row: berlin.accounts[row[2]],
        ),
    ]


def test_two_widths_of_time_have_keys_of_their_own(berlin: World) -> None:
    rows = berlin.rows(aggregations=[berlin.column("units", "SUM")], groups=[by("QUARTER"), by("MONTH")])
    assert [(row["startDate.QUARTER"][:10], row["startDate.MONTH"][:10], row["units.SUM"]) for row in rows] == [
        ("2025-03-31", "2025-03-31", 32),
        ("2024-12-31", "2025-02-28", 24),
        ("2024-12-31", "2025-01-31", 4),
        ("2024-12-31", "2024-12-31", 3),
    ]


def test_columns_of_two_meters_meet_in_the_rows_of_a_group(berlin: World) -> None:
    columns = [berlin.column("units", "SUM"), berlin.column("gb", "SUM")]
    rows = berlin.rows(aggregations=columns, groups=[ACCOUNT])
    assert {row["accountCode"]: (row["calls.units.SUM"], row["disks.gb.SUM"]) for row in rows} == {
        "acme": (7, 100),
        "beta": (56, Decimal("0.333")),
    }
    assert berlin.rows(aggregations=columns) == [{"calls.units.SUM": 63, "disks.gb.SUM": Decimal("100.333")}]


def test_a_dimension_of_one_meter_is_null_for_the_other(berlin: World) -> None:
    columns = [berlin.column("units", "SUM"), berlin.column("gb", "SUM")]
    assert berlin.rows(aggregations=columns, groups=[berlin.dimension("model")]) == [
        {"model": "a", "calls.units.SUM": 13, "disks.gb.SUM": None},
        {"model": "b", "calls.units.SUM": 18, "disks.gb.SUM": None},
        {"model": "c", "calls.units.SUM": 32, "disks.gb.SUM": None},
        {"model": None, "calls.units.SUM": None, "disks.gb.SUM": Decimal("100.333")},
    ]
    rows = berlin.rows(
        aggregations=columns, groups=[berlin.dimension("region"), berlin.dimension("region", berlin.disks)]
    )
    assert [tuple(row.values()) for row in rows] == [
        ("apac", None, 16, None),
        ("eu", None, 35, None),
        ("us", None, 12, None),
        (None, "eu", None, 100),
        (None, "us", None, Decimal("0.333")),
    ]
    assert list(rows[0]) == ["calls.region", "disks.region", "calls.units.SUM", "disks.gb.SUM"]


def test_a_field_called_like_a_key_takes_its_meters_name(utc: World) -> None:
    fields = [{"code": code, "name": code, "category": "WHO"} for code in ("accountId", "startDate")]
    odd = utc.meter("odd", fields, [])
    sent = {"uid": "odd", "meter": "odd", "account": "acme", "ts": "2024-12-24T18:00:00Z"}
    body = {"measurements": [{**sent, "who": {"accountId": "theirs", "startDate": "soon"}}]}
    assert read(send(utc.http, "POST", "/measurements", body))["measurements"][0]["verdict"] == "accepted"
    count = {"meterId": odd, "fieldCode": "startDate", "fieldType": "DIMENSION", "function": "COUNT"}
    groups = [ACCOUNT, by("DAY"), utc.dimension("accountId", odd), utc.dimension("startDate", odd)]
    until = time.monotonic() + 20
    while not (rows := utc.rows(aggregations=[count], groups=groups)):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert rows == [
        {
            "accountId": utc.accounts["acme"],
            "accountCode": "acme",
            "startDate": "2024-12-24T00:00:00.000Z",
            "odd.accountId": "theirs",
            "odd.startDate": "soon",
            "startDate.COUNT": 1,
        }
    ]


# -------------------------------------------------------------------------------------------------- filtering


@pytest.mark.parametrize(
    ("dates", "total"),
    [
        ({}, 63),
        ({"startDate": "2025-01-31T23:30:00Z"}, 60),  # inclusive
        ({"endDate": "2025-01-31T23:30:00Z"}, 3),  # exclusive
        ({"startDate": "2025-02-01"}, 56),  # a bare date is its midnight in UTC
        ({"startDate": "2025-02-01T00:00:00+01:00"}, 60),
        ({"startDate": "2025-01-01T00:30:00Z", "endDate": "2025-01-01T00:30:00.000001Z"}, 1),
        ({"startDate": "2026-01-01"}, None),
        ({"startDate": "0001-01-01T00:00:00Z", "endDate": "9999-12-31T23:59:59Z"}, 63),
    ],
)
def test_by_when_it_happened(berlin: World, dates: dict[str, str], total: int | None) -> None:
    assert berlin.units(**dates) == total


def test_by_account_and_meter(berlin: World) -> None:
    acme, beta = berlin.accounts.values()
    assert berlin.units(accountIds=[acme]) == 7
    assert berlin.units(accountIds=[acme, beta]) == 63
    assert berlin.units(accountIds=[]) == 63
    assert berlin.units(meterIds=[berlin.calls]) == 63
    assert berlin.units(meterIds=[berlin.disks]) is None
    assert berlin.units(meterIds=[berlin.calls, berlin.disks]) == 63


def test_by_dimension_values(berlin: World) -> None:
    f = berlin.filter
    for filters, total in (
        ([f("model", "a")], 13),
        ([f("model", "a", "b")], 31),
        ([f("model", "a"), f("region", "us")], 12),
        ([f("model", "a"), f("model", "b")], None),
        ([f("model", "A")], None),
        ([f("model", "' OR 1=1 --")], None),
        ([f("model", "a\x00")], None),
        ([f("region", "eu", meter=berlin.disks)], 63),  # says nothing about the other meter
    ):
        assert berlin.units(dimensionFilters=filters) == total, filters
    columns = [berlin.column("units", "SUM"), berlin.column("gb", "SUM")]
    only_us = [f("region", "us", meter=berlin.disks)]
    assert berlin.rows(aggregations=columns, dimensionFilters=only_us) == [
        {"calls.units.SUM": 63, "disks.gb.SUM": Decimal("0.333")}
    ]


# ------------------------------------------------------------------------------------- measurements themselves


def test_without_columns_the_measurements_are_listed(berlin: World) -> None:
    rows = berlin.rows()
    assert [row["uid"] for row in rows] == ["c6", "c5", "c4", "d2", "c3", "c2", "c1", "d1"]
    received = rows[-2].pop("dtReceived")
    assert received.endswith("Z")
    assert rows[-2].pop("journalPosition") + 1 == rows[-3]["journalPosition"]
    assert rows[-2] == {
        "uid": "c1",
        "meterId": berlin.calls,
        "meterCode": "calls",
        "accountId": berlin.accounts["acme"],
        "accountCode": "acme",
        "ts": "2025-01-01T00:30:00.000Z",
        "fields": {
            "units": 1,
            "cost": Decimal("0.1"),
            "doubled": 2,
            "model": "a",
            "region": "eu",
            "note": "note c1",
        },
        "undeclared": {"where": {"undeclared": "kept"}},
    }
    assert rows[0]["fields"]["cost"] == Decimal(BIG)
    assert [row["uid"] for row in berlin.rows(meterIds=[berlin.disks])] == ["d2", "d1"]
    assert [row["uid"] for row in berlin.rows(dimensionFilters=[berlin.filter("model", "b")])] == [
        "c5",
        "d2",
        "c2",
        "d1",
    ]


@pytest.mark.parametrize(("limit", "more"), [(1, True), (7, True), (8, False), (20_000, False)])
def test_a_limit_keeps_the_latest_and_says_that_there_is_more(berlin: World, limit: int, more: bool) -> None:
    answer = berlin.ask(limit=limit)
    assert [row["uid"] for row in answer["data"]] == ["c6", "c5", "c4", "d2", "c3", "c2", "c1", "d1"][:limit]
    assert answer["hasMoreData"] is more
    assert ("nextToken" in answer) is more


@pytest.mark.parametrize("size", [1, 3, 8])
def test_pages_show_each_measurement_once(berlin: World, size: int) -> None:
    seen, token = [], {}
    while True:
        page = berlin.ask(limit=size, **token)
        seen += [row["uid"] for row in page["data"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert seen == ["c6", "c5", "c4", "d2", "c3", "c2", "c1", "d1"]


@pytest.mark.parametrize(
    ("field", "comparator", "value", "found"),
    [
        ("units", "GREATER_OR_EQUAL", 8, 8 + 16 + 32),
        ("units", "EQUAL", "16", 16),
        ("doubled", "LESS", Decimal("4.5"), 1 + 2),
        ("note", "CONTAINS", "c4", 8),
        ("region", "NOT_EQUAL", "eu", 4 + 8 + 16),
        ("model", "STARTS_WITH", "=cmd|' /C calc'!A0", None),
        ("note", "PRESENT", None, 63),
    ],
)
def test_conditions_are_on_fields_of_any_kind(
    berlin: World, field: str, comparator: str, value: object, found: int | None
) -> None:
    condition = {"meterId": berlin.calls, "fieldCode": field, "comparator": comparator}
    condition |= {} if value is None else {"value": value}
    assert berlin.units(conditions=[condition]) == found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fieldCode": "weight"}, "conditions[0].fieldCode: the meter calls has no field 'weight'"),
        ({"comparator": "CONTAINS"}, "conditions[0].comparator: CONTAINS is not for numbers, and units has numbers"),
        ({"fieldCode": "model", "comparator": "LESS"}, "conditions[0].comparator: LESS is not for texts"),
        ({"value": "many"}, "conditions[0].value: must be a finite number"),
        ({"value": None}, "value: must be given"),
        ({"value": True}, "value: must be a text or a number"),
        ({"comparator": "ABSENT"}, "value: must be left out"),
    ],
)
def test_what_cannot_be_compared_is_refused(berlin: World, changes: dict[str, Any], says: str) -> None:
    condition = {"meterId": berlin.calls, "fieldCode": "units", "comparator": "EQUAL", "value": 1} | changes
    assert says in refused(send(berlin.http, "POST", "/usage/query", {"conditions": [condition]}))["message"]


@pytest.mark.parametrize("token", ["x", "2025-01-01T00:00:00Z_", "2025-01-01T00:00:00Z_-1", "_1", "nonsense_1"])
def test_a_token_of_another_list_is_refused(berlin: World, token: str) -> None:
    reply = refused(send(berlin.http, "POST", "/usage/query", {"nextToken": token}))
    assert (reply["code"], reply["message"][:10]) == ("invalid_page", "nextToken:")


@pytest.mark.parametrize(("limit", "more"), [(1, True), (3, True), (4, False)])
def test_a_limit_counts_rows_of_groups(berlin: World, limit: int, more: bool) -> None:
    answer = berlin.ask(aggregations=[berlin.column("units", "SUM")], groups=[by("MONTH")], limit=limit)
    assert [row["units.SUM"] for row in answer["data"]] == [32, 24, 4, 3][:limit]
    assert answer["hasMoreData"] is more


def test_the_official_client_asks_the_same(berlin: World) -> None:
    with berlin.tenant.sdk() as sdk:
        answer = sdk.usage.query(
            start_date="2025-01-01T00:00:00Z",
            end_date="2025-04-01T00:00:00Z",
            account_ids=list(berlin.accounts.values()),
            meter_ids=[berlin.calls],
            aggregations=[
                {"meter_id": berlin.calls, "field_code": "units", "field_type": "MEASURE", "function": "SUM"}
            ],
            dimension_filters=[{"meter_id": berlin.calls, "field_code": "region", "values": ["eu", "us"]}],
            groups=[{"group_type": "ACCOUNT"}],
            limit=100,
        )
    assert answer.has_more_data is False
    assert {row["accountCode"]: row["units.SUM"] for row in answer.data or ()} == {"acme": 7, "beta": 8}


# --------------------------------------------------------------------------------------------------- refusals


def refusals(world: World) -> list[tuple[dict[str, object], str, str]]:
    """Queries that cannot be asked so: the code, and the field that is named."""
    units, broken, unknown = world.column("units", "SUM"), "rule_broken", "unknown_reference"
    aggregation, group, filtered = "aggregations[0]", "groups[0]", "dimensionFilters[0]"
    return [
        ({"aggregations": [world.column("units", "UNIQUE")]}, broken, f"{aggregation}.function"),
        ({"aggregations": [world.column("model", "SUM")]}, broken, f"{aggregation}.function"),
        ({"aggregations": [world.column("model", "MEAN")]}, broken, f"{aggregation}.function"),
        ({"aggregations": [world.column("model", "COUNT", fieldType="MEASURE")]}, broken, f"{aggregation}.fieldType"),
        ({"aggregations": [world.column("cost", "SUM", fieldType="DIMENSION")]}, broken, f"{aggregation}.fieldType"),
        ({"aggregations": [units, world.column("model", "MIN")]}, broken, "aggregations[1].function"),
        ({"aggregations": [world.column("units", "PERCENTILE")]}, "invalid_request", f"{aggregation}.function"),
        ({"aggregations": [world.column("units", "sum")]}, "invalid_request", f"{aggregation}.function"),
        ({"aggregations": [world.column("nothing", "SUM")]}, unknown, f"{aggregation}.fieldCode"),
        ({"aggregations": [{**units, "meterId": NOWHERE}]}, unknown, f"{aggregation}.meterId"),
        ({"aggregations": [{**units, "meterId": "\x00"}]}, unknown, f"{aggregation}.meterId"),
        ({"aggregations": [{**units, "meterId": world.disks}]}, unknown, f"{aggregation}.fieldCode"),
        ({"aggregations": [units] * 31}, "invalid_request", "aggregations"),
        ({"aggregations": [{}]}, "invalid_request", f"{aggregation}.meterId"),
        ({"aggregations": {}}, "invalid_request", "aggregations"),
        ({"groups": [ACCOUNT]}, "invalid_request", "groups"),
        ({"aggregations": [units], "groups": [ACCOUNT] * 11}, "invalid_request", "groups"),
        ({"aggregations": [units], "groups": [{"groupType": "TIME"}]}, broken, f"{group}.frequency"),
        ({"aggregations": [units], "groups": [by("YEAR")]}, "invalid_request", f"{group}.frequency"),
        ({"aggregations": [units], "groups": [{"groupType": "PLAN"}]}, "invalid_request", f"{group}.groupType"),
        ({"aggregations": [units], "groups": [{"groupType": "DIMENSION"}]}, broken, f"{group}.fieldCode"),
        ({"aggregations": [units], "groups": [world.dimension("units")]}, broken, f"{group}.fieldCode"),
        ({"aggregations": [units], "groups": [world.dimension("note")]}, broken, f"{group}.fieldCode"),
        ({"aggregations": [units], "groups": [world.dimension("nothing")]}, unknown, f"{group}.fieldCode"),
        ({"aggregations": [units], "groups": [world.dimension("model", NOWHERE)]}, unknown, f"{group}.meterId"),
        ({"dimensionFilters": [world.filter("model")]}, "invalid_request", f"{filtered}.values"),
        ({"dimensionFilters": [world.filter("units", "1")]}, broken, f"{filtered}.fieldCode"),
        ({"dimensionFilters": [world.filter("note", "x")]}, broken, f"{filtered}.fieldCode"),
        ({"dimensionFilters": [world.filter("nothing", "x")]}, unknown, f"{filtered}.fieldCode"),
        ({"dimensionFilters": [world.filter("model", "x", meter=NOWHERE)]}, unknown, f"{filtered}.meterId"),
        ({"meterIds": [world.calls, NOWHERE]}, unknown, "meterIds"),
        ({"meterIds": world.calls}, "invalid_request", "meterIds"),
        ({"accountIds": ["acme"]}, unknown, "accountIds"),
        ({"startDate": "2025-01-01", "endDate": "2025-01-01"}, "invalid_request", "endDate"),
        ({"startDate": "2025-02-01", "endDate": "2025-01-01"}, "invalid_request", "endDate"),
        ({"startDate": "yesterday"}, "invalid_request", "startDate"),
        ({"endDate": 20250101}, "invalid_request", "endDate"),
        ({"limit": 0}, "invalid_request", "limit"),
        ({"limit": 20_001}, "invalid_request", "limit"),
        ({"limit": "10"}, "invalid_request", "limit"),
        ({"limit": 1.5}, "invalid_request", "limit"),
    ]


def test_what_cannot_be_asked_is_refused_by_name(berlin: World) -> None:
    faults = []
    for query, code, field in refusals(berlin):
        reply = refused(send(berlin.http, "POST", "/usage/query", query))
        if (reply["code"], reply.get("field")) != (code, field) or not reply["message"].startswith(field):
            faults.append((query, reply))
    assert faults == []


# --------------------------------------------------------------------------------------------------- previews


def test_an_aggregation_is_previewed_before_it_is_kept(berlin: World) -> None:
    body = {
        "name": "Units",
        "code": "units",
        "meterId": berlin.calls,
        "targetField": "units",
        "aggregation": "SUM",
        "quantityPerUnit": 10,
        "rounding": "UP",
        "unit": "ten",
        "segmentedFields": ["region"],
    }
    # January in Berlin: c1 to c2 and not c3, which is of the 1st of February there.
    path = "/aggregations/preview?startDate=2024-12-31T23:00:00Z&endDate=2025-01-31T23:00:00Z"
    reply = read(send(berlin.http, "POST", path, body))
    assert reply["definition"].startswith("The sum of Units over all measurements of the meter calls")
    assert [
        (row["accountCode"], row["segment"], row["value"], row["units"], row["count"]) for row in reply["rows"]
    ] == [("acme", {"region": "eu"}, 3, 1, 2)]
    assert (reply["rowsFound"], reply["accounts"], reply["measurements"], reply["problem"]) == (1, 1, 2, None)
    assert read(berlin.http.get("/aggregations"))["data"] == [], "nothing was kept"
    wrong = {**body, "filter": "units >> 1"}
    assert "character 8" in refused(send(berlin.http, "POST", path, wrong))["message"]
    assert refused(send(berlin.http, "POST", path, {**body, "meterId": NOWHERE}))["code"] == "unknown_reference"
    assert refused(send(berlin.http, "POST", "/aggregations/preview?startDate=2025-01-01", body))["code"]


def test_a_meter_is_previewed_before_it_is_kept(berlin: World) -> None:
    meter = read(berlin.http.get(f"/meters/{berlin.calls}"))
    derived = {"code": "half", "name": "Half", "category": "MEASURE", "unit": "1", "calculation": "units / 2"}
    body = {name: meter[name] for name in ("name", "code", "dataFields")} | {"derivedFields": [derived]}
    reply = read(send(berlin.http, "POST", f"/meters/preview?meterId={berlin.calls}&rows=2", body))
    assert [(row["uid"], row["values"]["half"]) for row in reply["measurements"]] == [("c6", 16), ("c5", 8)]
    assert reply["definition"].endswith("and computes Half (1) from them.")
    body["derivedFields"] = [{**derived, "calculation": "units / "}]
    assert "half: character" in refused(send(berlin.http, "POST", "/meters/preview", body))["message"]
