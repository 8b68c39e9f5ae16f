"""Failures as answers: the status of each family, a message that leads with the field, and never a stack trace."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tallystick.api.dispatch import failure, guarded
from tallystick.api.errors import STATUS, error_reply, refused, undecodable
from tallystick.core import wire
from tallystick.core.catalog import Product
from tallystick.core.meter import Meter
from tallystick.errors import CODES, Code, Family, Refusal


class Token(msgspec.Struct):
    grant_type: str


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.name)
def test_every_code_has_a_status_below_500_unless_it_can_be_tried_again(code: Code) -> None:
    status, headers, reply = error_reply(code, "field: what is wrong", "field")
    assert status == STATUS[code.family]
    assert (status >= 500) == code.retry == ("retry-after" in headers)
    assert status != 409, "m3ter's clients try a 409 again"
    body = json.loads(wire.encode(reply))
    assert body == {"message": "field: what is wrong", "code": code.name, "hint": code.hint, "field": "field"}


def test_every_family_has_its_status() -> None:
    assert STATUS.keys() == set(Family)


def test_without_a_field_none_is_shown() -> None:
    _, _, reply = refused(Refusal("forbidden", "Authorization: no"))
    assert set(json.loads(wire.encode(reply))) == {"message", "code", "hint"}


METER = '{"name":"m","code":"m","dataFields":[%s],"derivedFields":[]}'
UNREADABLE: list[tuple[type, bytes | str, str | None, str]] = [
    (Product, "", None, "body: not readable as JSON: "),
    (Product, "{", None, "body: not readable as JSON: "),
    (Product, b'{"name":"\xff"}', None, "body: not readable as JSON: "),
    (Product, "[]", None, "body: Expected `object`, got `array`"),
    (Product, "null", None, "body: Expected `object`, got `null`"),
    (Product, "{}", "name", "name: Object missing required field `name`"),
    (Product, '{"name":5,"code":"c"}', "name", "name: Expected `str`, got `int`"),
    (Product, '{"name":null,"code":"c"}', "name", "name: Expected `str`, got `null`"),
    (Product, '{"name":"n","code":""}', "code", "code: Expected `str` of length >= 1"),
    (
        Product,
        '{"name":"n","code":"c","customFields":{"a":[]}}',
        "customFields.a",
        "customFields.a: must be a text or a number",
    ),
    (Meter, METER % '{"code":"a"}', "dataFields[0].name", "dataFields[0].name: Object missing required field `name`"),
    (Meter, METER % "5", "dataFields[0]", "dataFields[0]: Expected `object`, got `int`"),
    (
        Meter,
        METER % '{"code":"a","name":"A","category":"NONSENSE"}',
        "dataFields[0].category",
        "dataFields[0].category: Invalid enum value 'NONSENSE'",
    ),
    (Token, "{}", "grant_type", "grant_type: Object missing required field `grant_type`"),
]


@pytest.mark.parametrize(("of", "body", "field", "message"), UNREADABLE, ids=[row[3] for row in UNREADABLE])
def test_what_cannot_be_read_is_told_with_its_place(
    of: Any, body: bytes | str, field: str | None, message: str
) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)) as caught:
        wire.decode(of, body)
    status, _, reply = undecodable(caught.value)
    assert (status, reply.code, reply.field) == (400, "invalid_request", field)
    assert reply.message.startswith(message)


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (Refusal("not_found", "id: there is none"), 404, "not_found"),
        (Refusal("busy", "the journal is behind"), 503, "busy"),
        (Refusal("payload_too_large", "body: too large"), 403, "payload_too_large"),
        (msgspec.ValidationError("Expected `str` - at `$.name`"), 400, "invalid_request"),
        (msgspec.DecodeError("truncated"), 400, "invalid_request"),
        (RecursionError("maximum recursion depth exceeded"), 400, "invalid_request"),
        (AssertionError("a secret detail"), 500, "internal"),
        (ZeroDivisionError("a secret detail"), 500, "internal"),
    ],
)
def test_each_failure_has_its_answer_and_a_bug_gives_nothing_away(problem: Exception, status: int, code: str) -> None:
    answered, _, body = failure(problem)
    assert (answered, json.loads(body)["code"]) == (status, code)
    assert b"secret" not in body
    assert all(json.loads(body)[part] for part in ("message", "code", "hint"))


def test_a_bug_is_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> tuple[int, dict[str, str], bytes]:
        raise AssertionError("the rule did not hold")

    assert guarded(work)[0] == 500
    assert "the rule did not hold" in caplog.text
