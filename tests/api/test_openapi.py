"""The published description: valid, complete, true of what is answered; and whatever it allows is never a 500."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from storefront import NOWHERE, Storefront, send

from effort import drawing
from tallystick.api.auth import operator_token
from tallystick.api.openapi import PREFIX
from tallystick.api.operator import OPEN_ROUTES
from tallystick.api.routes import PUBLISHED
from tallystick.api.routing import Raw
from tallystick.cli.launch import Server
from tallystick.core.period import Instant
from tallystick.core.usage_event import EventForm
from tallystick.stores.key_file import signing_key
from tenant import new_tenant

EXAMPLES = 3  # per operation; how each body, query and id may be odd is tried one by one in test_bad_input.py


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    return msgspec.json.decode(httpx.get(f"{server.url}/openapi.json").content, type=dict[str, Any])


@pytest.fixture(scope="module")
def store(server: Server) -> Iterator[Storefront]:
    with new_tenant(server).http() as http:
        yield Storefront(http)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_every_route_is_in_it_and_nothing_else(document: dict[str, Any]) -> None:
    told = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    routes = {(route.method, PREFIX + route.path) for route in PUBLISHED}
    assert told == routes | {(route.method, route.path) for route in OPEN_ROUTES}


def test_every_operation_has_its_own_name_a_sentence_and_its_parameters(document: dict[str, Any]) -> None:
    operations = [(path, each) for path, item in document["paths"].items() for each in item.values()]
    names = [operation["operationId"] for _, operation in operations]
    assert len(set(names)) == len(names)
    for path, operation in operations:
        assert operation["summary"][0].isupper(), path
        assert operation["tags"], path
        given = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert given == set(re.findall(r"\{(\w+)\}", path)), path
        assert all(each["description"] for each in operation.get("parameters", []) if each["in"] == "query"), path
        assert operation["responses"].keys() >= {"200", "default"}, path


def test_whatever_takes_a_body_says_so(document: dict[str, Any]) -> None:
    """What is not described is not tried below."""
    for path in (*(f"/receive/{form.lower()}" for form in EventForm), "/eventsources/{id}/receive", "/measurements"):
        (content,) = document["paths"][PREFIX + path]["post"]["requestBody"]["content"]
        assert content == "application/json", path


def test_numbers_are_described_as_they_are_written(document: dict[str, Any]) -> None:
    assert '"decimal"' not in msgspec.json.encode(document).decode()
    price = document["components"]["schemas"]["PricingBand"]["properties"]["unitPrice"]
    assert price == {"type": "number"}


def reply_schema(document: dict[str, Any], method: str, path: str, status: int) -> dict[str, Any]:
    answers = document["paths"][path][method.lower()]["responses"]
    content = answers["200" if status == 200 else "default"]["content"]
    return {**content["application/json"]["schema"], "components": document["components"]}


def conforms(document: dict[str, Any], method: str, path: str, reply: httpx.Response) -> None:
    schema = reply_schema(document, method, path, reply.status_code)
    faults = [f"{fault.json_path}: {fault.message}" for fault in Draft202012Validator(schema).iter_errors(reply.json())]
    assert faults == [], f"{method} {path} answered {reply.text[:300]}"


# What a list cannot be asked without.
WANTED: dict[str, Callable[[Mapping[str, str]], dict[str, str]]] = {
    "/counteradjustments": lambda ids: {"counterId": ids["/counters"]}
}
READABLE = [route for route in PUBLISHED if route.method == "GET" and route.reply is not Raw]


@pytest.mark.parametrize("route", READABLE, ids=lambda route: route.path)
def test_what_is_read_is_as_described(document: dict[str, Any], store: Storefront, route: Any) -> None:
    noun = route.path.partition("/{")[0]
    path = re.sub(r"\{\w+\}", store.ids.get(noun, NOWHERE), route.path, count=1)
    reply = store.http.get(re.sub(r"\{\w+\}", NOWHERE, path), params=WANTED.get(route.path, lambda _: {})(store.ids))
    if noun in store.ids and "{" not in path:
        assert reply.status_code == 200, reply.text
    conforms(document, "GET", PREFIX + route.path, reply)


def test_what_is_written_is_answered_as_described(document: dict[str, Any], store: Storefront) -> None:
    for path in store.ids:
        # A policy needs nothing: it is the organisation's then, with what is usual.
        refused = send(store.http, "POST", path, {"times": 0, "graceHours": -1} if "policies" in path else {})
        assert refused.status_code == 400
        conforms(document, "POST", PREFIX + path, refused)
    for path, body in (
        ("/products", {"name": "Described", "code": "described", "customFields": {"a": 1}}),
        ("/measurements", {"measurements": [{"meter": "x", "account": "x", "ts": "2025-01-01T00:00:00Z"}]}),
        ("/usage/query", {}),
        ("/bills/approve", {"billIds": [NOWHERE]}),
        ("/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}),
    ):
        conforms(document, "POST", PREFIX + path, send(store.http, "POST", path, body))
    for path in ("/organizationconfig", "/billconfig"):
        conforms(document, "PUT", PREFIX + path, store.http.put(path, content=store.http.get(path).content))


@pytest.fixture(scope="module")
def described(server: Server, document: dict[str, Any]) -> Any:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.base_url = server.url
    return schema


ANY_ROUTE = [*(("", route) for route in OPEN_ROUTES), *((PREFIX, route) for route in PUBLISHED)]


@pytest.mark.parametrize(("prefix", "route"), ANY_ROUTE, ids=[f"{route.method} {route.path}" for _, route in ANY_ROUTE])
def test_whatever_the_description_allows_is_never_a_500(
    described: Any, server: Server, store: Storefront, prefix: str, route: Any
) -> None:
    """Made by Schemathesis from the document, within an organisation of its own so that every route is reached: the
    first time, and then half of the time, with the ids of what is there."""
    organization_id = str(store.http.base_url).rstrip("/").rpartition("/")[2]
    operator = operator_token(signing_key(server.directory), Instant.of(datetime.now(UTC)))
    authorization = store.http.headers["authorization"] if prefix else f"Bearer {operator}"
    own_id = store.ids.get(route.path.partition("/{")[0], NOWHERE)

    @settings(**drawing(EXAMPLES, shrink=False))
    @given(case=described[prefix + route.path][route.method].as_strategy(), amiss=st.booleans())
    def try_it(case: Any, amiss: bool) -> None:
        ids = {} if amiss else dict.fromkeys(case.path_parameters or {}, own_id)
        case.path_parameters = {**(case.path_parameters or {}), **ids, **({"orgId": organization_id} if prefix else {})}
        case.call_and_validate(headers={"authorization": authorization}, checks=[not_a_server_error])

    try_it()
