"""Hostile input over HTTP: each item with its expected answer, on several routes. A message names the field; nothing
is a 500, nothing is half kept, and the server goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from storefront import BANDS, BODIES, FIELDS, NOWHERE, Storefront, read, refused, send

from quick_client import QuickClient, quick
from tallystick.api.routes import ROUTES
from tallystick.api.routing import Paged
from tallystick.cli.launch import Server
from tenant import new_tenant

NESTED = 100_000
LONG = b"9" * 5000


def product(name: bytes = b'"n"', code: bytes = b'"c"', more: bytes = b"") -> bytes:
    return b'{"name":' + name + b',"code":' + code + more + b"}"


def custom(value: bytes) -> bytes:
    return product(more=b',"customFields":{"x":' + value + b"}")


# body → how the message of the 400 begins
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "body: not readable as JSON"),
    "blank": (b"  \n", "body: not readable as JSON"),
    "truncated": (b'{"name":"n"', "body: not readable as JSON"),
    "two documents": (product() + product(), "body: not readable as JSON"),
    "trailing comma": (b'{"name":"n","code":"c",}', "body: not readable as JSON"),
    "single quotes": (b"{'name':'n'}", "body: not readable as JSON"),
    "a comment": (b'{"name":"n",/* */"code":"c"}', "body: not readable as JSON"),
    "byte order mark": (b"\xef\xbb\xbf" + product(), "body: not readable as JSON"),
    "UTF-16": (product().decode().encode("utf-16"), "body: not readable as JSON"),
    "no UTF-8": (product(name=b'"\xff\xfe"'), "body: not readable as JSON"),
    "a surrogate in UTF-8": (product(name=b'"\xed\xa0\x80"'), "body: not readable as JSON"),
    "a lone surrogate": (product(name=b'"\\ud800"'), "body: not readable as JSON"),
    "a reversed pair": (product(name=b'"\\udc00\\ud800"'), "body: not readable as JSON"),
    "a raw control character": (product(name=b'"a\nb"'), "body: not readable as JSON"),
    "form data": (b"name=n&code=c", "body: not readable as JSON"),
    "an array": (b"[]", "body: Expected `object`"),
    "null": (b"null", "body: Expected `object`"),
    "a text": (b'"name"', "body: Expected `object`"),
    "brackets without end": (b"[" * NESTED, "body: "),
    "braces without end": (b'{"a":' * NESTED, "body: "),
    "balanced nesting": (product(more=b',"x":' + b"[" * NESTED + b"]" * NESTED), "body: "),
    "nesting in a known field": (custom(b"[" * NESTED + b"]" * NESTED), "body: nested too deeply"),
    "nothing required": (b"{}", "name: "),
    "a required null": (product(name=b"null"), "name: "),
    "a number for a text": (product(name=b"5"), "name: "),
    "an object for a text": (product(name=b"{}"), "name: "),
    "an array for a text": (product(code=b'["c"]'), "code: "),
    "an empty text": (product(name=b'""'), "name: "),
    "a huge text": (product(name=b'"' + b"a" * 500_000 + b'"'), "name: "),
    "NUL in a name": (product(name=b'"a\\u0000b"'), "name: "),
    "NUL in a code": (product(code=b'"a\\u0000b"'), "code: "),
    "a line feed in a code": (product(code=b'"a\\n"'), "code: "),
    "a space around a code": (product(code=b'" c"'), "code: "),
    "NaN": (custom(b"NaN"), "body: not readable as JSON"),
    "Infinity": (custom(b"-Infinity"), "body: not readable as JSON"),
    "1e400": (custom(b"1e400"), "customFields.x: must be a finite number below 10^20"),
    "1E+999999": (custom(b"1E+999999"), "customFields.x: must be a finite number below 10^20"),
    "1E+99999999999999999999": (custom(b"1E+99999999999999999999"), "customFields"),
    "1e-999999": (custom(b"1e-999999"), "customFields.x: at most 30 decimal places"),
    "5,000 digits": (custom(LONG), "customFields"),
    "5,000 digits and a point": (custom(LONG + b".5"), "customFields.x: must be a finite number below 10^20"),
    "5,000 decimals": (custom(b"0." + LONG), "customFields.x: at most 30 decimal places"),
    "full-width digits": (custom("１２".encode()), "body: not readable as JSON"),
    "a boolean": (custom(b"true"), "customFields.x: must be a text or a number"),
    "NUL in a custom field": (custom(b'"a\\u0000"'), "customFields"),
    "NUL in a custom field's name": (product(more=b',"customFields":{"\\u0000":1}'), "customFields"),
    "a text for a version": (product(more=b',"version":"1"'), "version: "),
    "half a version": (product(more=b',"version":1.5'), "version: "),
    "a version of 5,000 digits": (product(more=b',"version":' + LONG), "version: "),
}


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """One organisation for all: nothing stays in it."""
    with new_tenant(server).http() as plain:
        yield plain


@pytest.fixture(scope="module")
def quickly(http: httpx.Client) -> Iterator[QuickClient]:
    """For what asks thousands of times."""
    with quick(http) as client:
        yield client


@pytest.mark.parametrize(("body", "said"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_hostile_product_is_refused_by_name(http: httpx.Client, body: bytes, said: str) -> None:
    reply = refused(http.post("/products", content=body))
    assert reply["message"].startswith(said)
    assert len(reply["message"]) < 400, "a message does not repeat what was sent"
    assert read(http.get("/products")) == {"data": []}, "nothing was kept"


# body → the fields that come back
HARMLESS: dict[str, tuple[bytes, dict[str, object]]] = {
    "SQL": (product(name=b'"Robert\'); DROP TABLE product;--"'), {"name": "Robert'); DROP TABLE product;--"}),
    "a path": (product(code=b'"../../etc/passwd"'), {"code": "../../etc/passwd"}),
    "HTML": (product(name=b'"<script>alert(1)</script>"'), {"name": "<script>alert(1)</script>"}),
    "LIKE": (product(code=b'"100%_"'), {"code": "100%_"}),
    "the last of two keys": (b'{"name":"a","name":"b","code":"c"}', {"name": "b"}),
    "unknown fields": (product(more=b',"nonsense":{"a":[1,2]}'), {"name": "n"}),
    "a pair of surrogates": (product(name=b'"\\ud83d\\ude00"'), {"name": "😀"}),
    "two hundred emoji": (product(name='"{}"'.format("😀" * 200).encode()), {"name": "😀" * 200}),
    "right to left": (product(name='"\u202eabc"'.encode()), {"name": "\u202eabc"}),
    "composed and decomposed": (product(name='"é e\u0301"'.encode()), {"name": "é e\u0301"}),
    "white space": (b" \t\r\n" + product() + b"\n", {"code": "c"}),
    "minus zero": (custom(b"-0.0"), {"customFields": {"x": Decimal("-0.0")}}),
}


@pytest.mark.parametrize(("body", "kept"), HARMLESS.values(), ids=HARMLESS.keys())
def test_what_only_looks_hostile_is_kept_letter_by_letter(
    http: httpx.Client, body: bytes, kept: dict[str, object]
) -> None:
    made = read(http.post("/products", content=body))
    again = read(http.get(f"/products/{made['id']}"))
    assert {name: made[name] for name in kept} == {name: again[name] for name in kept} == kept
    if "code" in kept:
        assert [row["id"] for row in read(http.get("/products"))["data"]] == [made["id"]]
    read(http.delete(f"/products/{made['id']}"))


# Every field of every noun with a value of a wrong kind; what a body of the noun looks like is the storefront's.
WRONG: list[tuple[str, dict[str, object], str]] = [
    ("/meters", {"dataFields": None}, "dataFields"),
    ("/meters", {"dataFields": []}, "dataFields"),
    ("/meters", {"dataFields": {}}, "dataFields"),
    ("/meters", {"dataFields": [FIELDS[0]] * 16}, "dataFields"),
    ("/meters", {"dataFields": [FIELDS[0], FIELDS[0]]}, "dataFields"),
    ("/meters", {"dataFields": [{**FIELDS[0], "code": "a\x00"}]}, "dataFields[0].code"),
    ("/meters", {"dataFields": [{**FIELDS[0], "code": "9a"}]}, "dataFields[0].code"),
    ("/meters", {"dataFields": [{**FIELDS[0], "unit": ""}]}, "dataFields[0].unit"),
    ("/meters", {"derivedFields": None}, "derivedFields"),
    ("/meters", {"derivedFields": [{**FIELDS[0], "code": "d", "calculation": "(" * 5000}]}, "derivedFields"),
    ("/meters", {"derivedFields": [{**FIELDS[0], "code": "d", "calculation": "nothing + 1"}]}, "derivedFields"),
    ("/meters", {"productId": "x"}, "productId"),
    ("/meters", {"productId": NOWHERE}, "productId"),
    ("/meters", {"productId": "\x00" * 36}, "productId"),
    ("/aggregations", {"meterId": "é" * 36}, "meterId"),
    ("/aggregations", {"quantityPerUnit": 0}, "quantityPerUnit"),
    ("/aggregations", {"quantityPerUnit": -1}, "quantityPerUnit"),
    ("/aggregations", {"quantityPerUnit": "NaN"}, "quantityPerUnit"),
    ("/aggregations", {"quantityPerUnit": "Infinity"}, "quantityPerUnit"),
    ("/aggregations", {"quantityPerUnit": "ten"}, "quantityPerUnit"),
    ("/aggregations", {"quantityPerUnit": "1_000"}, "quantityPerUnit"),
    ("/aggregations", {"quantityPerUnit": " 1"}, "quantityPerUnit"),
    ("/aggregations", {"quantityPerUnit": "１２"}, "quantityPerUnit"),
    ("/aggregations", {"quantityPerUnit": None}, "quantityPerUnit"),
    ("/aggregations", {"rounding": "SIDEWAYS"}, "rounding"),
    ("/aggregations", {"aggregation": "sum"}, "aggregation"),
    ("/aggregations", {"targetField": "nothing"}, "targetField"),
    ("/aggregations", {"targetField": "region"}, "targetField"),
    ("/aggregations", {"segmentedFields": ["region"] * 2}, "segmentedFields"),
    ("/aggregations", {"segmentedFields": ["region"], "segments": [{}]}, "segments[0]"),
    ("/aggregations", {"filter": "region == "}, "filter"),
    ("/aggregations", {"filter": "(" * 4999}, "filter"),
    ("/plantemplates", {"currency": "US"}, "currency"),
    ("/plantemplates", {"currency": "XXX"}, "currency"),
    ("/plantemplates", {"billFrequency": "HOURLY"}, "billFrequency"),
    ("/plantemplates", {"billFrequencyInterval": 0}, "billFrequencyInterval"),
    ("/plantemplates", {"billFrequencyInterval": 366}, "billFrequencyInterval"),
    ("/plantemplates", {"standingCharge": -1}, "standingCharge"),
    ("/plantemplates", {"standingCharge": "1e400"}, "standingCharge"),
    ("/plans", {"planTemplateId": NOWHERE}, "planTemplateId"),
    ("/plans", {"bespoke": True}, "accountId"),
    ("/plans", {"bespoke": "yes"}, "bespoke"),
    ("/pricings", {"pricingBands": []}, "pricingBands"),
    ("/pricings", {"pricingBands": None}, "pricingBands"),
    ("/pricings", {"pricingBands": [{**BANDS[0], "lowerLimit": -1}]}, "pricingBands[0]"),
    ("/pricings", {"pricingBands": [BANDS[0], BANDS[0]]}, "pricingBands"),
    ("/pricings", {"pricingBands": [{**BANDS[0], "unitPrice": "NaN"}]}, "pricingBands[0]"),
    ("/pricings", {"pricingBands": [{**BANDS[0], "unitPrice": "0_1"}]}, "pricingBands[0].unitPrice"),
    ("/pricings", {"startDate": "yesterday"}, "startDate"),
    ("/pricings", {"startDate": 20250101}, "startDate"),
    ("/pricings", {"startDate": "2025-02-30T00:00:00Z"}, "startDate"),
    ("/pricings", {"endDate": "2024-01-01T00:00:00Z"}, "endDate"),
    ("/pricings", {"segment": {"region": "eu"}}, "segment"),
    ("/accounts", {"emailAddress": "nobody"}, "emailAddress"),
    ("/accounts", {"emailAddress": "a@b\x00.example"}, "emailAddress"),
    ("/accounts", {"currency": "XXX"}, "currency"),
    ("/accounts", {"parentAccountId": NOWHERE}, "parentAccountId"),
    ("/accounts", {"address": []}, "address"),
    ("/accounts", {"daysBeforeBillDue": 4_000_000}, "daysBeforeBillDue"),
    ("/accountplans", {"accountId": NOWHERE}, "accountId"),
    ("/accountplans", {"planId": None}, "planId"),
    ("/accountplans", {"endDate": "2025-01-01T00:00:00Z"}, "endDate"),
    ("/accountplans", {"billEpoch": "0000-00-00"}, "billEpoch"),
    ("/picklists/currency", {"code": "a b"}, "code"),
    ("/picklists/currency", {"maxDecimalPlaces": 6}, "maxDecimalPlaces"),
    ("/picklists/currency", {"maxDecimalPlaces": 1.5}, "maxDecimalPlaces"),
    ("/picklists/currency", {"roundingMode": "NEAREST"}, "roundingMode"),
    ("/serviceusers", {"scopes": []}, "scopes"),
    ("/serviceusers", {"scopes": ["root"]}, "scopes"),
    ("/serviceusers", {"scopes": "all"}, "scopes"),
    ("/serviceusers", {"name": "a\x00"}, "name"),
    ("/serviceusers", {"name": " "}, "name"),
]


@pytest.fixture(scope="module")
def store(server: Server) -> Any:
    with new_tenant(server).http() as http:
        yield Storefront(http)


@pytest.mark.parametrize(
    ("path", "changes", "field"), WRONG, ids=[f"{path[1:]}-{str(changes)[1:40]}" for path, changes, _ in WRONG]
)
def test_a_field_that_is_wrong_is_named(store: Storefront, path: str, changes: dict[str, object], field: str) -> None:
    before = read(store.http.get(path))["data"]
    fresh = {"code": "fresh"} if "code" in store.body(path) else {}
    reply = refused(send(store.http, "POST", path, store.body(path, **{**fresh, **changes})))
    assert reply["message"].startswith(field), reply
    assert read(store.http.get(path))["data"] == before, "nothing was kept"


@pytest.mark.parametrize("path", BODIES)
def test_every_field_of_every_noun_withstands_every_kind_of_value(store: Storefront, path: str) -> None:
    """The answer is an entity or a refusal with a message; what was kept is deleted again."""
    odd: list[object] = [None, True, -1, Decimal("1e-30"), "", "\x00", "NaN", "9" * 300, [], {}, [None], {"": ""}]
    for name in store.body(path):
        for number, value in enumerate(odd):
            fresh = {"code": f"odd{number}"} if "code" in store.body(path) else {}
            reply = send(store.http, "POST", path, store.body(path, **{**fresh, name: value}))
            if reply.status_code == 200:
                read(store.http.delete(f"{path}/{read(reply)['id']}"))
            else:
                assert refused(reply)["message"], (name, value)


IDS = [
    "x",
    "%00",
    "%ff",
    "%zz",
    "%",
    "..",
    "%2e%2e",
    "%F0%9F%98%80",
    "'%20OR%201=1--",
    "a" * 5000,
    NOWHERE,
    NOWHERE[:-1],
]
# What is asked for by a type, or by what another system calls it: nothing found is an empty list.
SEARCHED = {
    "/integrationruns/destinations/{destinationId}",
    "/integrationruns/{entityType}/latest",
    "/integrationruns/{entityType}/{entityId}",
    "/externalmappings/external/{entity}/{m3terId}",
    "/externalmappings/externalid/{system}/{externalTable}/{externalId}",
}
WITH_IDS = [route for route in ROUTES if "{" in route.path and route.method in {"GET", "DELETE"} and not route.signed]


@pytest.mark.parametrize("route", WITH_IDS, ids=lambda route: f"{route.method} {route.path}")
def test_an_id_that_is_none_is_404(http: httpx.Client, route: Any) -> None:
    parts = route.path.split("/")
    for odd in IDS:
        path = "/".join(odd if part.startswith("{") else part for part in parts)
        reply = http.request(route.method, httpx.URL(str(http.base_url)).copy_with(raw_path=raw(http, path)))
        if odd in {"..", "%2e%2e"} and reply.status_code in {200, 405}:
            continue  # some clients fold the dots before they send; then it is another path
        if route.path in SEARCHED and reply.status_code == 200:
            assert reply.json() in ([], {"data": []}), (odd, reply.text)
            continue
        assert refused(reply, 404)["code"] == "not_found", (odd, reply.text)


def raw(http: httpx.Client, path: str) -> bytes:
    """The path as it stands, without the client's own encoding."""
    return http.base_url.raw_path.rstrip(b"/") + path.encode()


LISTS = [route for route in ROUTES if isinstance(route.reply, Paged) and route.query and "{" not in route.path]
ODD_VALUES = [
    "%00",
    "%zz",
    "x",
    "-1",
    "0",
    "1e9",
    "%EF%BC%91",
    "'%20OR%201=1--",
    "%25",
    "a" * 3000,
    ",",
    "%2C%2C",
    "%F0%9F%98%80",
]


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.path)
def test_every_parameter_of_every_list_withstands_every_kind_of_value(quickly: QuickClient, route: Any) -> None:
    """The answer is a page or a refusal that names the parameter."""
    for name in route.query:
        for value in ODD_VALUES:
            reply = quickly.get(f"{route.path}?{name}={value}")
            if reply.status_code == 200:
                assert isinstance(read(reply)["data"], list)
            else:
                assert name in refused(reply)["message"], (name, value, reply.text)
        assert refused(quickly.get(f"{route.path}?{name}=%ff"))["field"] == "query"
    for page in ("pageSize=0", "pageSize=1001", "pageSize=-1", "pageSize=ten", "pageSize=1.5"):
        if "pageSize" in route.query:
            assert refused(quickly.get(f"{route.path}?{page}"))["field"] == "pageSize"


PAGED = [route.path for route in LISTS if "nextToken" in route.query]


@pytest.mark.parametrize("path", PAGED)
def test_a_token_that_the_list_did_not_give_is_refused(quickly: QuickClient, path: str) -> None:
    for token in ("garbage", "%00", "W10", "WyJhIl0", "bnVsbA", "W10=", "-1", "é", "A" * 4000, "%2B%2F"):
        said = refused(quickly.get(f"{path}?nextToken={quote(token, safe='%')}"))["message"]
        assert said.startswith("nextToken: "), token


WRITES = [route for route in ROUTES if (route.body or route.any_json or route.file_bytes) and not route.signed]


@pytest.mark.parametrize("route", WRITES, ids=lambda route: f"{route.method} {route.path}")
def test_every_body_of_every_route_may_be_anything(quickly: QuickClient, route: Any) -> None:
    path = re.sub(r"\{\w+\}", NOWHERE, route.path)
    for name, (body, _) in UNREADABLE.items():
        reply = quickly.request(route.method, path, content=body)
        assert reply.status_code < 500, (name, reply.text)
        if reply.status_code >= 400 and not route.any_json:  # some of those answer as other services do
            refused(reply, reply.status_code)


def test_after_all_that_the_server_is_well(http: httpx.Client, server: Server) -> None:
    assert read(http.get("/products")) == {"data": []}
    assert "in a way that nobody foresaw" not in server.log.read_text(errors="replace")
