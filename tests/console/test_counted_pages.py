"""Meters and aggregations made and changed in the console: previews before saving, faults with their place."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from html import unescape

import httpx
import pytest
from storefront import read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

HOSTILE = "<script>alert(1)</script>\"'{{7*131}}"
METER = {
    "name": "LLM " + HOSTILE,
    "code": "llm",
    "fieldCode": ["tokens", "model", "", "", ""],
    "fieldName": ["Tokens", HOSTILE, "", "", ""],
    "fieldCategory": ["MEASURE", "WHAT", "MEASURE", "MEASURE", "MEASURE"],
    "fieldUnit": ["{token}", "", "", "", ""],
    "derivedCode": ["kilo", ""],
    "derivedName": ["Thousands", ""],
    "derivedCategory": ["MEASURE", "MEASURE"],
    "derivedUnit": ["k", ""],
    "derivedCalculation": ["tokens / 1000", ""],
}


def use(http: httpx.Client, count: int = 3) -> None:
    now = [(datetime.now(UTC) - timedelta(seconds=each)).isoformat() for each in range(count)]
    whole = {"meter": "llm", "account": HOSTILE, "measure": {"tokens": 700}, "what": {"model": "x"}}
    batch = [{"uid": f"u{at}", "ts": at, **whole} for at in now]
    verdicts = read(send(http, "POST", "/measurements", {"measurements": batch}))["measurements"]
    assert {each["verdict"] for each in verdicts} <= {"accepted"}, verdicts
    until = time.monotonic() + 20
    while len(read(send(http, "POST", "/usage/query", {}))["data"]) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def meter(organization: Tenant, admin: Visitor, http: httpx.Client) -> str:
    """The path of a meter that was made in the console and measured with."""
    admin.get("/meters/new")
    admin.post("/meters/new", METER)
    use(http)
    return "/meters/" + str(read(http.get("/meters"))["data"][0]["id"])


def test_a_meter_is_previewed_then_made(organization: Tenant, admin: Visitor, http: httpx.Client) -> None:
    lost = {"uid": "early", "meter": "llm", "account": "a", "ts": "2025-01-01", "measure": {"tokens": 2500}}
    read(send(http, "POST", "/measurements", {"measurements": [{**lost, "what": {"model": HOSTILE}}]}))
    admin.get("/meters/new")
    page = admin.post("/meters/new", {**METER, "preview": "true"})
    assert 'data-value="2.5"' in page, "of the failed measurement that waits for such a meter"
    assert "<script>alert" not in page
    assert read(http.get("/meters"))["data"] == []
    page = unescape(admin.post("/meters/new", METER))
    assert "and computes Thousands (k) from them." in page
    (made,) = read(http.get("/meters"))["data"]
    assert [each["code"] for each in made["dataFields"]] == ["tokens", "model"]
    assert made["derivedFields"][0]["calculation"] == "tokens / 1000"


def test_a_fault_in_a_formula_is_shown_in_its_place(meter: str, admin: Visitor) -> None:
    admin.get(f"{meter}/edit")
    wrong = {**METER, "derivedCalculation": ["tokens / * 2", ""], "preview": "true"}
    page = admin.post(f"{meter}/edit", wrong, status=422)
    assert "<code>tokens / <mark>*</mark> 2</code>" in page
    assert 'value="tokens / * 2"' in page, "what was typed stays"
    unknown = admin.post(f"{meter}/edit", {**wrong, "derivedCalculation": ["tokens + bytes", ""]}, status=422)
    assert "<code>tokens + <mark>b</mark>ytes</code>" in unknown


def test_a_meter_is_changed_and_keeps_what_the_form_does_not_show(
    meter: str, admin: Visitor, http: httpx.Client
) -> None:
    before = read(http.get(meter))
    read(send(http, "PUT", meter, {**before, "customFields": {"team": HOSTILE}}))
    admin.get(f"{meter}/edit")
    late = admin.post(f"{meter}/edit", {**METER, "name": "Late", "version": "1"}, status=422)
    assert "the request names 1" in unescape(late)
    admin.post(f"{meter}/edit", {**METER, "name": "New name", "version": "2"})
    after = read(http.get(meter))
    assert (after["name"], after["customFields"], after["version"]) == ("New name", {"team": HOSTILE}, 3)
    assert after["dataFields"] == before["dataFields"]


AGGREGATION = {
    "name": "Tokens " + HOSTILE,
    "code": "tokens",
    "aggregation": "SUM",
    "targetField": "tokens",
    "quantityPerUnit": "1,000",
    "unit": "k",
    "rounding": "UP",
    "segmentedFields": ["model"],
    "segments": "x\n*",
}


def test_an_aggregation_is_previewed_made_and_changed(meter: str, admin: Visitor, http: httpx.Client) -> None:
    id_ = meter.rpartition("/")[2]
    new = f"/aggregations/new?meter={id_}"
    assert "Only measurements where" in admin.get(new)
    body = {**AGGREGATION, "meterId": id_}
    page = admin.post("/aggregations/new", {**body, "preview": "true"})
    assert "in units of 1,000 (k), rounded up" in page
    api = read(
        send(
            http,
            "POST",
            "/aggregations/preview",
            {
                **{name: body[name] for name in ("name", "aggregation", "targetField", "unit", "rounding")},
                "meterId": id_,
                "quantityPerUnit": 1000,
                "segmentedFields": ["model"],
            },
        )
    )
    shown = re.findall(r'data-value="([^"]*)"', page[page.index('id="preview"') :])
    (row,) = api["rows"]
    assert [str(row[name]) for name in ("value", "units", "count")] == shown[-3:] == ["2100", "3", "3"]
    assert read(http.get("/aggregations"))["data"] == []
    admin.post("/aggregations/new", body)
    (made,) = read(http.get("/aggregations"))["data"]
    assert (made["quantityPerUnit"], made["segments"]) == (1000, [{"model": "x"}, {"model": "*"}])
    path = f"/aggregations/{made['id']}"
    fault = admin.post(f"{path}/edit", {**AGGREGATION, "filter": "tokens >> 1"}, status=422)
    assert "<code>tokens &gt;<mark>&gt;</mark> 1</code>" in fault
    admin.post(f"{path}/edit", {**AGGREGATION, "filter": "tokens > 1", "version": "1"})
    assert read(http.get(path))["filter"] == "tokens > 1"
    for text in (admin.get(path), admin.get("/aggregations"), admin.get(meter), admin.get("/meters")):
        assert "<script>alert" not in text
        assert "917" not in re.sub(r"[0-9a-f-]{36}|[0-9a-f]{12,64}|[0-9]{4,}", "", text), "no template in a name is run"
    wrong = admin.post(f"{path}/edit", {**AGGREGATION, "segments": "x / y / z", "segmentedFields": []}, status=422)
    assert "segments: line 1 has" in unescape(wrong)


def test_a_compound_aggregation_is_previewed_and_made(meter: str, admin: Visitor, http: httpx.Client) -> None:
    admin.get("/aggregations/new")
    admin.post("/aggregations/new", {**AGGREGATION, "meterId": meter.rpartition("/")[2]})
    body = {
        "name": HOSTILE,
        "code": "double",
        "calculation": "aggregation.tokens * 2",
        "quantityPerUnit": "1",
        "unit": "t",
        "rounding": "NONE",
    }
    admin.get("/compounds/new")
    page = admin.post("/compounds/new", {**body, "preview": "true"})
    assert "The result of aggregation.tokens * 2" in page
    assert 'data-value="4200"' in page
    fault = admin.post("/compounds/new", {**body, "calculation": "aggregation.tokens * "}, status=422)
    assert "<mark>" in fault
    assert "is saved." in admin.post("/compounds/new", body)
    (made,) = read(http.get("/compoundaggregations"))["data"]
    for path in (f"/compounds/{made['id']}", f"/compounds/{made['id']}/edit", "/compounds"):
        assert "<script>alert" not in admin.get(path)


def test_who_may_only_look_changes_nothing(meter: str, organization: Tenant) -> None:
    reader = signed_in(organization, Role.SUPPORT)
    assert "/edit" not in reader.get(meter)
    reader.get(f"{meter}/edit", status=403)
