"""Usage brought in by hand: rows of a table, counted once, refused with their line."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from storefront import read, send
from visitor import Visitor

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
        ("ts,account\n" + "2025-01-01,a\n" * 20_001, "at most 20,000 rows"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_whole(text: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        list(members(text, LLM, None))


def test_rows_are_counted_once_and_what_is_wrong_is_told_with_its_line(admin: Visitor, organization: Tenant) -> None:
    with organization.http() as http:
        product = read(send(http, "POST", "/products", {"name": "P", "code": "p"}))["id"]
        fields = [{"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "{token}"}]
        body = {"name": "LLM", "code": "llm", "productId": product, "dataFields": fields, "derivedFields": []}
        meter = read(send(http, "POST", "/meters", body))["id"]
        read(send(http, "POST", "/accounts", {"name": "Acme", "code": "acme", "emailAddress": "a@example.com"}))
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
