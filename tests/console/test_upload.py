"""Usage brought in by hand: rows of a table, counted once, refused with their line."""

from __future__ import annotations

import gzip
import re
from decimal import Decimal
from typing import Any

import pytest
from storefront import read, send
from visitor import Visitor

from tallystick.console.form import read_multipart
from tallystick.console.measurement_rows import members
from tallystick.core import wire
from tallystick.core.meter import Category, DataField, Meter
from tallystick.errors import Refusal
from tenant import Tenant

LLM = Meter(
    name="LLM",
    code="llm",
    data_fields=(
        DataField(code="tokens", name="Tokens", category=Category.MEASURE, unit="{token}"),
        DataField(code="model", name="Model", category=Category.WHAT),
    ),
    derived_fields=(),
)


DAY = {"meter": "llm", "account": "acme", "ts": "2025-01-01"}


@pytest.mark.parametrize(
    ("text", "account", "made"),
    [
        (
            "uid,account,ts,tokens,model\n1,acme,2025-01-01,0.10,gpt\n",
            None,
            [DAY | {"uid": "1", "measure": {"tokens": Decimal("0.10")}, "what": {"model": "gpt"}}],
        ),
        ("ts,tokens\n2025-01-01,x\n\n", "acme", [DAY | {"measure": {"tokens": "x"}}]),
        ('ts,model\n2025-01-01,"a,""b"""', "acme", [DAY | {"what": {"model": 'a,"b"'}}]),
        ("ts,account\n2025-01-01,\n", "acme", [DAY]),
        ("ts,tokens\n", "acme", []),
    ],
    ids=["a whole row", "no number is handed on", "quoted cells", "an empty cell", "no rows"],
)
def test_rows_become_what_a_client_would_send(text: str, account: str | None, made: list[dict[str, Any]]) -> None:
    assert [wire.decode(dict[str, Any], each) for each in members(text, LLM, account)] == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ts is missing"),
        ("ts,tokens\n2025-01-01,1\n", "no column account"),
        ("ts,account,colour\n", "'colour' is neither"),
        ("ts,ts,account\n", "there twice"),
        ("ts,account\n2025-01-01\n", "line 2 has 1 cells, the first line has 2"),
        ('ts,account\n"2025', "no CSV"),
        ("ts,account\n" + "2025-01-01,a\n" * 100_001, "at most 100,000 rows"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_whole(text: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        list(members(text, LLM, None))


@pytest.fixture
def meter(organization: Tenant) -> str:
    """The meter LLM in an organisation with the account acme."""
    with organization.http() as http:
        product = read(send(http, "POST", "/products", {"name": "P", "code": "p"}))["id"]
        fields = [{"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "{token}"}]
        body = {"name": "LLM", "code": "llm", "productId": product, "dataFields": fields, "derivedFields": []}
        read(send(http, "POST", "/accounts", {"name": "Acme", "code": "acme", "emailAddress": "a@example.com"}))
        return str(read(send(http, "POST", "/meters", body))["id"])


def test_rows_are_counted_once_and_what_is_wrong_is_told_with_its_line(admin: Visitor, meter: str) -> None:
    admin.get("/measurements/upload")
    rows = "uid,ts,tokens\n1,2025-01-01,5\n2,2025-01-02,x\n1,2025-01-01,5\n1,2025-01-01,6"
    page = admin.post("/measurements/upload", {"meterId": meter, "account": "acme", "rows": rows})
    assert re.findall(r'data-value="([^"]+)"', page)[:4] == ["1", "1", "1", "1"], "one of each verdict"
    assert re.search(r'<td class="numeric">3</td><td><code>2</code></td><td>[^<]*tokens', page)
    assert 'data-value="0"' in admin.post(
        "/measurements/upload", {"meterId": meter, "account": "acme", "rows": rows.split("\n2,", maxsplit=1)[0]}
    )
    refused = admin.post("/measurements/upload", {"meterId": meter, "rows": "uid,ts\n1,2025"}, status=422)
    assert "no column account" in refused
    assert "1,2025" in refused, "what was typed is still there"


def test_a_file_is_counted_plain_or_packed_and_once(admin: Visitor, meter: str) -> None:
    """Larger than other forms may be; what is pasted beside it does not count."""
    admin.get("/measurements/upload")
    pad = " " * 1_100
    table = b"\xef\xbb\xbfuid,account,ts,tokens\n" + b"".join(
        f"{uid},acme,2025-01-01,5{pad}\n".encode() for uid in range(1_001)
    )
    fields = {"meterId": meter, "rows": "nothing that counts"}
    packed = gzip.compress(table)
    for file, verdict in ((table, 0), (packed, 1)):
        page = admin.post("/measurements/upload", fields, files={"file": file})
        assert re.findall(r'data-value="([^"]+)"', page)[verdict] == "1001", verdict
    short = "uid,account,ts,tokens\nmore,acme,2025-01-01,5"
    page = admin.post("/measurements/upload", fields | {"rows": short}, files={"other": b"x"})
    assert re.findall(r'data-value="([^"]+)"', page)[0] == "1", "no file: what is pasted counts"


@pytest.mark.parametrize(
    ("file", "status", "said"),
    [
        (b"ts,account\n\xff", 422, "file: is no text in UTF-8"),
        (b"\x1f\x8bxx", 422, "is no gzip data"),
        (gzip.compress(b"\0" * 10_000_001), 422, "file: has more than 10,000,000 bytes"),
        (b"x" * 12_000_000, 413, "at most 11,100,000 bytes"),
    ],
    ids=["no text", "no gzip", "unpacks to too much", "too large"],
)
def test_a_file_that_is_none_is_refused(admin: Visitor, meter: str, file: bytes, status: int, said: str) -> None:
    admin.get("/measurements/upload")
    assert said in admin.post("/measurements/upload", {"meterId": meter}, status, files={"file": file})


def test_a_large_form_from_nobody_or_without_its_token_is_refused(admin: Visitor, meter: str) -> None:
    large = {"file": b"x" * 1_100_000}
    stranger = Visitor(str(admin.http.base_url))
    stranger.http.headers["cookie"] = "a[]=1; ;=; tallystick-session=nobody"
    assert stranger.send("/measurements/upload", {"meterId": meter}, large).status_code == 413
    admin.token = "0" * 64
    admin.http.cookies["a[]"] = "b"  # what other programs on the same host leave takes nothing away
    assert admin.send("/measurements/upload", {"meterId": meter}, large).status_code == 403


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"x"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\ncut'),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--'),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 2_001 + b"--b--",
        ),
    ],
    ids=["no boundary", "no parts", "cut off", "no text", "too many"],
)
def test_a_malformed_form_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(Refusal, match="as multipart/form-data"):
        read_multipart(body, content_type)
