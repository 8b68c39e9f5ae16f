"""Hostile measurements, each with its expected answer beside it: refused with a code, or accepted as what. And hostile
requests, each with the status and code of its refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

from tallystick.pipeline.ingest import MAX_BYTES

UID = "@uid@"  # stands for the uid that the test gives
FIELDS = [
    {"code": "n", "name": "Number", "category": "MEASURE", "unit": "{n}"},
    {"code": "t", "name": "Text", "category": "WHAT"},
]
Expected = str | dict[str, object]  # the code of a rejection, or parts of the row that is counted


def member(**parts: str | bytes | None) -> bytes:
    """A measurement as JSON. Parts are the JSON of what is not as usual; None leaves one out."""
    usual = {"uid": f'"{UID}"', "account": '"acme"', "meter": '"m"', "ts": '"2025-06-01T10:00:00Z"'}
    whole = {**usual, "measure": '{"n":1}', "what": '{"t":"x"}', **parts}
    raw = {name: part.encode() if isinstance(part, str) else part for name, part in whole.items() if part is not None}
    return b"{" + b",".join(f'"{name}":'.encode() + part for name, part in raw.items()) + b"}"


def number(text: str) -> bytes:
    return member(measure=f'{{"n":{text}}}')


def text(value: str | bytes) -> bytes:
    """A text field of which these are the characters between the quotes."""
    raw = value.encode() if isinstance(value, str) else value
    return member(what=b'{"t":"' + raw + b'"}')


def at(value: str) -> bytes:
    return member(ts=json.dumps(value, ensure_ascii=False))


def account(code: str) -> bytes:
    return member(account=json.dumps(code))


NUMBERS: dict[str, Expected] = {
    "0": {"n": 0},
    "-0": {"n": 0},
    "-0.0": {"n": 0},
    "-1": {"n": -1},
    "1.50": {"n": Decimal("1.5")},
    "1e-05": {"n": Decimal("0.00001")},
    "1E+2": {"n": 100},
    "1234567890123456789": {"n": 1234567890123456789},
    "99999999999999999999": {"n": 99999999999999999999},
    "3.3333333333333335e-07": {"n": Decimal("0.000000333333333333")},  # rounded once, to 18 decimals
    "0.0000000000000000005": {"n": 0},  # half to even
    "0.0000000000000000015": {"n": Decimal("0.000000000000000002")},
    "0." + "3" * 5_000: {"n": Decimal("0.333333333333333333")},
    "1" + "0" * 5_000 + "e-5000": {"n": 1},
    "1e-400": {"n": 0},
    "0e400": {"n": 0},
    "-0E-999999": {"n": 0},
    "1e-401": "invalid_number",
    "1e-999999": "invalid_number",
    "1" + "0" * 20: "invalid_number",
    "99999999999999999999.9999999999999999999": "invalid_number",  # 10^20 when it is rounded
    "9" * 5_000: "invalid_number",
    "9" * 5_000 + ".5": "invalid_number",
    "1e400": "invalid_number",
    "1E+999999": "invalid_number",
    "1E+99999999999999999999": "invalid_number",
    "1e-99999999999999999999": "invalid_number",
    "NaN": "invalid_measurement",  # JSON has no such value: what else stands there cannot be read
    "Infinity": "invalid_measurement",
    "-Infinity": "invalid_measurement",
    '"1"': "invalid_number",
    '"1_000"': "invalid_number",
    '"１２"': "invalid_number",
    "true": "invalid_number",
    "null": "invalid_number",
    "[]": "invalid_number",
    "[" * 200 + "]" * 200: "invalid_number",
    '{"n":1}': "invalid_number",
    '1,"n":2': {"n": 2},  # of a key that is given twice the last counts
}

TEXTS: dict[str | bytes, Expected] = {
    "": {"t": ""},
    " x ": {"t": " x "},
    "\\ud83d\\ude00": {"t": "😀"},
    "\\ud800": "invalid_measurement",
    "\\udc00\\ud800": "invalid_measurement",
    b"\xed\xa0\x80": "invalid_text",  # half a pair in UTF-8
    b"\xff": "invalid_text",
    b"a\nb": "invalid_measurement",
    "a\\nb": {"t": "a\nb"},
    "\\u0000": {"t": "\0"},
    "\ufeffx": {"t": "\ufeffx"},
    "\u202ex": {"t": "\u202ex"},
    "e\u0301": {"t": "e\u0301"},  # and not é
    "х": {"t": "х"},  # Cyrillic
    "../../etc/passwd": {"t": "../../etc/passwd"},
    "'); DROP TABLE measurement;--": {"t": "'); DROP TABLE measurement;--"},
    "{v0:String} %s {{t}}": {"t": "{v0:String} %s {{t}}"},
    "x" * 1_024: {"t": "x" * 1_024},
    "x" * 1_025: "invalid_text",
    "😀" * 1_024: {"t": "😀" * 1_024},
}

TIMES: dict[str, Expected] = {
    "2025-06-01T10:00:00": {"ts": "2025-06-01T10:00:00.000Z"},  # no offset: UTC
    "2025-06-01": {"ts": "2025-06-01T00:00:00.000Z"},
    "2025-06-01T10:00:00+14:00": {"ts": "2025-05-31T20:00:00.000Z"},
    "2025-06-01T10:00:00-12:00": {"ts": "2025-06-01T22:00:00.000Z"},
    "2025-06-01 10:00:00.1234567Z": {"ts": "2025-06-01T10:00:00.123456Z"},
    "20250601T102400Z": {"ts": "2025-06-01T10:24:00.000Z"},
    "2025-W22-7T10:00:00Z": {"ts": "2025-06-01T10:00:00.000Z"},
    "2025-06-01 10:00:00 +0200": {"ts": "2025-06-01T08:00:00.000Z"},
    "2024-02-29T23:59:59.999999Z": {"ts": "2024-02-29T23:59:59.999999Z"},
    "1970-01-01T00:00:00Z": {"ts": "1970-01-01T00:00:00.000Z"},
    "2025-06-01T24:00:00Z": "invalid_timestamp",
    "2025-06-01T10:00:60Z": "invalid_timestamp",
    "2016-12-31T23:59:60Z": "invalid_timestamp",  # also where there was such a second
    "2025-06-01T10:60:00Z": "invalid_timestamp",
    "2025-06-01T10:00:020Z": "invalid_timestamp",
    "2025-06-01010:00:00Z": "invalid_timestamp",
    "2025-02-30T10:00:00Z": "invalid_timestamp",
    "2025-02-29": "invalid_timestamp",
    "2025-06-01T10:00:00+25:00": "invalid_timestamp",
    "0001-01-01": "invalid_timestamp",
    "0001-01-01T00:00:00Z": "invalid_timestamp",
    "0001-01-01T00:00:00+14:00": "invalid_timestamp",
    "1969-12-31T23:59:59Z": "invalid_timestamp",
    "2262-01-01": "invalid_timestamp",
    "9999-12-31T23:59:59Z": "invalid_timestamp",
    "9999-12-31T23:59:59-14:00": "invalid_timestamp",
    "10000-01-01": "invalid_timestamp",
    "10000-01-01T00:00:00Z": "invalid_timestamp",
    "-2025-06-01": "invalid_timestamp",
    "2200-01-01": "timestamp_in_future",
    "２０２５-06-01": "invalid_timestamp",
    "2025-06-01T10:00:00.123456７Z": "invalid_timestamp",
    " 2025-06-01": "invalid_timestamp",
    "2025-06-01T10:00:00Z ": "invalid_timestamp",
    "1748772000": "invalid_timestamp",
    "yesterday": "invalid_timestamp",
    "": "invalid_timestamp",
    "\0": "invalid_timestamp",
    "2025-06-01T10:00:00Z\0": "invalid_timestamp",
    "2025-06-01T10:00:00Z'; DROP TABLE measurement;--": "invalid_timestamp",
    "9" * 5_000: "invalid_timestamp",
}

ACCOUNTS: dict[str, Expected] = {
    "ACME": "invalid_account",  # a slip, not a new customer
    "аcme": {"accountCode": "аcme"},  # its first letter is Cyrillic: another account
    "acme\u200b": {"accountCode": "acme\u200b"},
    "../../acme": {"accountCode": "../../acme"},
    "' OR 1=1--": {"accountCode": "' OR 1=1--"},
    "x" * 80: {"accountCode": "x" * 80},
    " acme": "invalid_account",
    "acme ": "invalid_account",
    "ac\0me": "invalid_account",
    "acme\n": "invalid_account",
    "": "invalid_account",
    "x" * 81: "invalid_account",
}

# Each is a uid of its own, whatever it looks like.
LOOK_ALIKES = [
    "cafe",
    "CAFE",
    "cafe ",
    " cafe",
    "саfe",
    "cаfe",
    "ｃafe",
    "café",
    "cafe\u0301",
    "cafe\u200b",
    "caf\ufeffe",
]

WHOLES: dict[bytes, Expected] = {
    **{member(uid=json.dumps(each)): {"uid": each} for each in LOOK_ALIKES},
    b"5": "invalid_measurement",
    b"null": "invalid_measurement",
    b'"x"': "invalid_measurement",
    b"[]": "invalid_measurement",
    b"{}": "invalid_measurement",
    member(account=None): "invalid_measurement",
    member(meter=None): "invalid_measurement",
    member(ts=None): "invalid_measurement",
    member(ts="1748772000"): "invalid_timestamp",
    member(ts="null"): "invalid_timestamp",
    member(account="5"): "invalid_measurement",
    member(account='"\\ud800"'): "invalid_measurement",
    member(uid='"\\ud800"'): "invalid_measurement",
    member(ts='"2025-06-01\\udfff"'): "invalid_measurement",
    member(what='{"t":"x","\\udc00":"y"}'): "invalid_measurement",
    member(what='{"t":"x","\\u0000":"y","":"z"}'): {"undeclared": {"what": {"\0": "y", "": "z"}}},
    member(measure='{"n":1,"N":2,"ｎ":3,"n ":4}'): {"n": 1},
    member(meter='"ｍ"'): "undefined_meter",
    member(meter='"m\\u200b"'): "undefined_meter",
    member(meter='"M"'): "undefined_meter",
    member(meter='"m "'): "undefined_meter",
    member(meter='"../m"'): "undefined_meter",
    member(meter='"m\\u0000"'): "undefined_meter",
    member(measure=None): "missing_field",
    member(measure="{}"): "missing_field",
    member(measure="[]"): "invalid_measurement",
    member(measure=None, cost='{"n":1}'): "wrong_category",
    member(cost='{"n":1}'): "duplicate_field",
    member(uid="5"): "invalid_text",
    member(uid='"' + "x" * 51 + '"'): "invalid_text",
    member(uid='"a\\u0000"'): "invalid_text",
    member(uid="null"): {"n": 1},
    member(uid='""'): {"n": 1},
    member(uid=f'"{UID} "'): {"uid": f"{UID} "},
    member(uid=f'"../{UID}"'): {"uid": f"../{UID}"},
    member(uid=f'"{UID}\' OR 1=1--"'): {"uid": f"{UID}' OR 1=1--"},
    member(uid=f'"no","uid":"{UID}"'): {"uid": UID},
    member(nonsense='{"a":[1,{"b":null}]}'): {"n": 1},
    member(measurements='[{"measurements":5}]'): {"n": 1},
    member(nonsense="[" * 200 + "]" * 200): {"n": 1},
    member(other='{"o":"kept"}'): {"undeclared": {"other": {"o": "kept"}}},
    member(ts='"never","ts":"2025-06-01"'): {"ts": "2025-06-01T00:00:00.000Z"},
}


@dataclass(frozen=True)
class Item:
    """One line of the table."""

    name: str
    sent: bytes
    expected: Expected


ITEMS = [
    *(Item(f"number {each}", number(each), expected) for each, expected in NUMBERS.items()),
    *(Item(f"text {each!r}", text(each), expected) for each, expected in TEXTS.items()),
    *(Item(f"ts {each!r}", at(each), expected) for each, expected in TIMES.items()),
    *(Item(f"account {each!r}", account(each), expected) for each, expected in ACCOUNTS.items()),
    *(Item(f"member {each!r}", each, expected) for each, expected in WHOLES.items()),
]


def body(*members: bytes) -> bytes:
    return b'{"measurements":[' + b",".join(members) + b"]}"


def good(uid: str) -> bytes:
    return member().replace(UID.encode(), uid.encode())


GOOD = good("whole")

# ------------------------------------------------------------------------------------------------------ whole bodies

NESTED = 100_000

# What a request of one good measurement looks like on the wire → (status, code) of its refusal.
BODIES: dict[str, tuple[bytes, tuple[int, str]]] = {
    "nothing": (b"", (400, "invalid_request")),
    "blank": (b" \n", (400, "invalid_request")),
    **{
        f"cut after {cut}": (body(GOOD)[:cut], (400, "invalid_request")) for cut in (1, 15, 17, 40, len(body(GOOD)) - 1)
    },
    "more follows": (body(GOOD) + b"x", (400, "invalid_request")),
    "two documents": (body(GOOD) * 2, (400, "invalid_request")),
    "byte order mark": (b"\xef\xbb\xbf" + body(GOOD), (400, "invalid_request")),
    "byte order mark inside": (body(GOOD, b"\xef\xbb\xbf" + good("marked")), (400, "invalid_request")),
    "cut among many": (body(*[GOOD] * 900)[:90_000], (400, "invalid_request")),
    "one of many is cut": (body(*[GOOD] * 500, GOOD[:-1], *[GOOD] * 400), (400, "invalid_request")),
    "no UTF-8 between many": (body(*[GOOD] * 500).replace(b"},{", b"},\xff{", 400), (400, "invalid_request")),
    "UTF-16": (body(GOOD).decode().encode("utf-16"), (400, "invalid_request")),
    "NUL before": (b"\0" + body(GOOD), (400, "invalid_request")),
    "NUL after": (body(GOOD) + b"\0", (400, "invalid_request")),
    "trailing comma": (body(GOOD, b""), (400, "invalid_request")),
    "single quotes": (body(GOOD).replace(b'"', b"'"), (400, "invalid_request")),
    "an array": (b"[" + GOOD + b"]", (400, "invalid_request")),
    "a measurement": (GOOD, (400, "invalid_request")),
    "no list": (b'{"measurements":' + GOOD + b"}", (400, "invalid_request")),
    "two lists": (body(GOOD)[:-1] + b"," + body(GOOD)[1:], (400, "invalid_request")),
    "two lists with NaN": (body(GOOD, number("NaN"))[:-1] + b"," + body(GOOD)[1:], (400, "invalid_request")),
    "two lists, one of them escaped": (
        body(GOOD)[:-1] + b"," + body(GOOD)[1:].replace(b"measure", rb"m\u0065asure", 1),
        (400, "invalid_request"),
    ),
    "two lists, both escaped": (
        (body(GOOD)[:-1] + b"," + body(GOOD)[1:]).replace(b'"measurements"', rb'"\u006deasurement\u0073"'),
        (400, "invalid_request"),
    ),
    "a list beside none": (b'{"measurements" :[],' + body(GOOD)[1:], (400, "invalid_request")),
    "null": (b'{"measurements":null}', (400, "invalid_request")),
    "none": (body(), (400, "invalid_request")),
    "1,001": (body(*[b"{}"] * 1_001), (400, "invalid_request")),
    "bare full-width digits": (body(GOOD, number("１２")), (400, "invalid_request")),
    "a bare underscore": (body(GOOD, number("1_000")), (400, "invalid_request")),
    "a leading zero": (body(GOOD, number("01")), (400, "invalid_request")),
    "a plus": (body(GOOD, number("+1")), (400, "invalid_request")),
    "hexadecimal": (body(GOOD, number("0x10")), (400, "invalid_request")),
    "brackets without end": (b"[" * NESTED, (400, "invalid_request")),
    "brackets without end in a member": (body(GOOD)[:-2] + b',{"x":' + b"[" * NESTED, (400, "invalid_request")),
    "nested too deeply": (body(GOOD, member(x=b"[" * NESTED + b"]" * NESTED)), (400, "invalid_request")),
    "too large": (body(GOOD) + b" " * MAX_BYTES, (403, "payload_too_large")),
}
