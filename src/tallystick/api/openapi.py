"""The published description of the API (OpenAPI 3.1), made from the routes and the types behind them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from tallystick import __version__
from tallystick.api.errors import ErrorReply
from tallystick.api.routing import Envelope, Paged, Raw, Route, Rows
from tallystick.core.period import Instant

PREFIX = "/organizations/{orgId}"
REFERENCE = "#/components/schemas/{name}"
AUDIT: dict[str, Any] = {
    "id": {"type": "string"},
    "version": {"type": "integer"},
    "dtCreated": {"type": "string", "format": "date-time"},
    "dtLastModified": {"type": "string", "format": "date-time"},
    "createdBy": {"type": "string"},
    "lastModifiedBy": {"type": "string"},
}


def describe(routes: Iterable[Route], open_paths: dict[str, Any]) -> dict[str, Any]:
    """The whole document. `open_paths` are the path items that need no organisation, as they shall stand."""
    routes = tuple(routes)
    paths: dict[str, Any] = dict(open_paths)
    for route in routes:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tallystick", "version": __version__, "description": "Metering, rating and billing."},
        "paths": paths,
        "components": {
            "schemas": _components(routes),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "serviceUser": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    in_path = [part[1:-1] for part in (PREFIX + route.path).split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path
    ]
    parameters += [
        {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in route.query.items()
    ]
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": parameters,
        "responses": {"200": _success(route.reply), "default": _failure()},
    }
    if route.body is not None:
        schema = {"$ref": REFERENCE.format(name=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if route.any_json:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": {}}}}
    if route.file_bytes is not None:
        file = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": file}}
    return operation


def _operation_id(route: Route) -> str:
    parts = [part.strip("{}") for part in route.path.split("/") if part]
    return route.method.lower() + "".join(part[0].upper() + part[1:] for part in parts)


def _success(reply: object) -> dict[str, Any]:
    if reply is Raw:
        return {"description": "The file.", "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    return {"description": "Done.", "content": {"application/json": {"schema": _reply_schema(reply)}}}


def _failure() -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(name=ErrorReply.__name__)}
    return {"description": "Refused; the message says why.", "content": {"application/json": {"schema": schema}}}


def _reply_schema(reply: object) -> dict[str, Any]:
    match reply:
        case Paged(of=row):
            data = {"type": "array", "items": _reply_schema(row)}
            return {
                "type": "object",
                "required": ["data"],
                "properties": {"data": data, "nextToken": {"type": "string"}},
            }
        case Rows(of=row):
            return {"type": "array", "items": _reply_schema(row)}
        case Envelope(of=value):
            audit = {"type": "object", "properties": AUDIT, "required": ["id", "version"]}
            return {"allOf": [{"$ref": REFERENCE.format(name=value.__name__)}, audit]}
        case None:
            return {"type": "object"}
        case type():
            return {"$ref": REFERENCE.format(name=reply.__name__)}
    raise AssertionError(f"no schema for the reply {reply!r}")


def _components(routes: Iterable[Route]) -> dict[str, Any]:
    types: dict[str, Any] = {ErrorReply.__name__: ErrorReply}
    for route in routes:
        for each in (route.body, _inner(route.reply)):
            if each is not None and each is not Raw:
                types[each.__name__] = each
    _, components = msgspec.json.schema_components(types.values(), schema_hook=_own_schema, ref_template=REFERENCE)
    return {name: _exact_numbers(schema) for name, schema in components.items()}


def _inner(reply: object) -> Any:
    match reply:
        case Paged(of=row) | Rows(of=row):
            return _inner(row)
        case Envelope(of=value):
            return value
    return reply


def _own_schema(of: type) -> dict[str, Any]:
    if of is object:
        return {"description": "Any JSON value."}
    assert of is Instant, f"no schema for {of}"
    return {"type": "string", "format": "date-time"}


def _exact_numbers(schema: Any) -> Any:
    """Decimals are written as JSON numbers here, where msgspec describes its default, text."""
    if isinstance(schema, list):
        return [_exact_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        default = {"default": Decimal(schema["default"])} if "default" in schema else {}
        return {**{key: value for key, value in schema.items() if key != "format"}, "type": "number", **default}
    return {key: _exact_numbers(value) for key, value in schema.items()}
