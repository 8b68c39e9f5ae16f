"""The catalogue over plain HTTP: what the official client cannot send, and that nothing of it is ever a 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tallystick.cli.launch import Server
from tenant import new_tenant

NOWHERE = "00000000-0000-4000-8000-000000000000"
PATHS = (
    "/products",
    "/meters",
    "/aggregations",
    "/plantemplates",
    "/plans",
    "/pricings",
    "/accounts",
    "/accountplans",
    "/picklists/currency",
    "/compoundaggregations",
    "/counters",
    "/counterpricings",
    "/plangroups",
    "/contracts",
    "/charges",
    "/picklists/billgroupingkeys",
    "/picklists/creditreasons",
)


@pytest.fixture(scope="module")
def visitor(server: Server) -> Iterator[httpx.Client]:
    """Signed in to an organisation that the tests below share, because they add nothing to it."""
    with new_tenant(server).http() as plain:
        yield plain


MALFORMED: tuple[tuple[bytes, str], ...] = (
    (b"", "body"),
    (b"{", "body"),
    (b"[]", "object"),
    (b"null", "object"),
    (b'"text"', "object"),
    (b"{}", "missing required field"),
    (b'{"code": 5}', "code"),
    (b'{"version": "one"}', "version"),
    (b"\xff\xfe", "body"),
    (b'{"code": "\xff"}', "body"),
    (b"[" * 5000, "object"),
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("body", "says"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_body_of_another_shape_is_a_400_that_says_where(
    visitor: httpx.Client, path: str, body: bytes, says: str
) -> None:
    for reply in (visitor.post(path, content=body), visitor.put(f"{path}/{NOWHERE}", content=body)):
        assert reply.status_code == 400
        assert says in reply.json()["message"]


PRODUCT: dict[str, Any] = {"name": "Storage", "code": "storage"}

FIELDS: tuple[tuple[str, object, str], ...] = (
    ("name", "", "name"),
    ("name", "x" * 201, "name"),
    ("name", ["Storage"], "name"),
    ("code", "", "code"),
    ("code", " storage", "code"),
    ("code", "sto\nrage", "code"),
    ("code", "storage\n", "code"),
    ("code", "x" * 81, "code"),
    ("version", "one", "version"),
    ("version", 1.5, "version"),
    ("customFields", {"a": [1]}, "customFields"),
    ("customFields", {"a": None}, "customFields"),
    ("customFields", "none", "customFields"),
)


@pytest.mark.parametrize(("field", "value", "names"), FIELDS)
def test_a_field_out_of_bounds_is_named(visitor: httpx.Client, field: str, value: object, names: str) -> None:
    reply = visitor.post("/products", json={**PRODUCT, field: value})
    assert reply.status_code == 400
    assert reply.json()["field"] == names or reply.json()["field"].startswith(names + ".")
    assert names in reply.json()["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "1e20", "1e-31", "1E+999999"])
def test_a_number_out_of_bounds_is_refused(visitor: httpx.Client, number: str) -> None:
    for text in (
        '{"name": "S", "code": "s", "customFields": {"a": %s}}',
        '{"name": "T", "currency": "USD", "billFrequency": "MONTHLY", "productId": "'
        + NOWHERE
        + '", "standingCharge": %s}',
    ):
        path = "/products" if "customFields" in text else "/plantemplates"
        assert visitor.post(path, content=(text % number).encode()).status_code == 400


def test_numbers_come_back_as_exactly_as_they_came(http: httpx.Client) -> None:
    product = http.post("/products", json=PRODUCT).json()["id"]
    for number in ("0.1", "1e-05", "12345678901234567.000000000000000001", "0.30000000000000000000000000001", "7"):
        text = (
            f'{{"name": "T", "currency": "USD", "billFrequency": "MONTHLY", "productId": "{product}", '
            f'"standingCharge": {number}, "customFields": {{"a": {number}}}}}'
        )
        reply = http.post("/plantemplates", content=text.encode())
        assert reply.status_code == 200
        plain = {"1e-05": "0.00001"}.get(number, number)
        assert f'"standingCharge":{plain},' in reply.text
        assert f'"a":{plain}}}' in reply.text


def test_a_whole_entity_can_be_sent_back(http: httpx.Client) -> None:
    created = http.post("/products", json={**PRODUCT, "version": 7, "unheardOf": True}).json()
    assert created["version"] == 1, "a version means nothing on create"
    assert "unheardOf" not in created
    updated = http.put(f"/products/{created['id']}", json={**created, "name": "Objects"})
    assert updated.status_code == 200
    assert (updated.json()["version"], updated.json()["name"]) == (2, "Objects")
    stale = http.put(f"/products/{created['id']}", json=created)
    assert (stale.status_code, stale.json()["code"]) == (400, "version_mismatch")
    assert "version 2" in stale.json()["message"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "query",
    [
        "pageSize=0",
        "pageSize=-1",
        "pageSize=201",
        "pageSize=ten",
        "pageSize=1e1",
        "nextToken=nonsense",
        "nextToken=%00",
    ],
)
def test_a_page_out_of_bounds_is_refused(visitor: httpx.Client, path: str, query: str) -> None:
    reply = visitor.get(f"{path}?{query}")
    assert reply.status_code == 400
    assert reply.json()["field"] == query.partition("=")[0]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["ids=", "ids=,", "ids=%00", "ids=x", "ids=" + NOWHERE, "ids=" + "x," * 1000])
def test_odd_filters_find_nothing_and_break_nothing(visitor: httpx.Client, path: str, query: str) -> None:
    reply = visitor.get(f"{path}?{query}")
    assert reply.status_code == 200
    assert isinstance(reply.json()["data"], list)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["x", "%00", NOWHERE, "a" * 2000, "..%2f..%2fproducts", "%F0%9F%92%B0"])
def test_an_odd_id_is_not_found(visitor: httpx.Client, path: str, name: str) -> None:
    for method in ("GET", "DELETE"):
        assert visitor.request(method, f"{path}/{name}").status_code == 404


def test_product_pages_reach_200_and_others_100(visitor: httpx.Client) -> None:
    assert visitor.get("/products?pageSize=200").status_code == 200
    assert visitor.get("/meters?pageSize=100").status_code == 200
    assert visitor.get("/meters?pageSize=101").status_code == 400


def test_odd_texts_are_refused_or_kept_as_they_are(http: httpx.Client) -> None:
    kept = http.post("/products", json={"name": "Größe 💰 <b>&\"'", "code": "💰 ü"})
    assert kept.status_code == 200
    assert (kept.json()["name"], kept.json()["code"]) == ("Größe 💰 <b>&\"'", "💰 ü")
    for text in ('{"name": "a\\u0000b", "code": "nul"}', '{"name": "a\\ud800b", "code": "half"}'):
        assert http.post("/products", content=text.encode()).status_code == 400


def test_dates_are_read_leniently_and_written_in_utc(http: httpx.Client) -> None:
    product = http.post("/products", json=PRODUCT).json()["id"]
    template = {"name": "T", "currency": "USD", "billFrequency": "MONTHLY", "standingCharge": 0, "productId": product}
    plan = {"name": "P", "code": "p", "planTemplateId": http.post("/plantemplates", json=template).json()["id"]}
    account = {"name": "A", "code": "a", "emailAddress": "a@b.example"}
    body = {
        "planId": http.post("/plans", json=plan).json()["id"],
        "accountId": http.post("/accounts", json=account).json()["id"],
    }
    for number, (text, utc) in enumerate(
        (
            ("2025-01-01", "2025-01-01T00:00:00.000Z"),
            ("2025-01-02T00:00:00", "2025-01-02T00:00:00.000Z"),
            ("2025-01-03T00:00:00+02:00", "2025-01-02T22:00:00.000Z"),
            ("2025-01-04T00:00:00.123456Z", "2025-01-04T00:00:00.123456Z"),
        )
    ):
        end = f"2025-01-0{number + 1}T01:00:00Z"
        reply = http.post("/accountplans", json={**body, "startDate": text, "endDate": end})
        assert reply.status_code == 200, reply.text
        assert reply.json()["startDate"] == utc
    for text in ("", "yesterday", "2025-13-01", "2025-01-01T25:00:00Z", "0001-01-01T00:00:00+14:00"):
        reply = http.post("/accountplans", json={**body, "startDate": text})
        assert (reply.status_code, reply.json()["field"]) == (400, "startDate")


def test_settings_want_every_starred_field(http: httpx.Client) -> None:
    config = http.get("/organizationconfig").json()
    for field in ("currency", "timezone", "dayEpoch", "weekEpoch", "monthEpoch", "yearEpoch", "daysBeforeBillDue"):
        reply = http.put("/organizationconfig", json={name: config[name] for name in config if name != field})
        assert (reply.status_code, reply.json()["field"]) == (400, field)
    reply = http.put("/organizationconfig", json={**config, "requireMeasurementUid": True})
    assert (reply.status_code, reply.json()["requireMeasurementUid"]) == (200, True)
