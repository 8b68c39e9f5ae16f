"""Invoices over HTTP and from the command line: files of a bill, in the language that is asked for or set."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pypdf
import pytest
from storefront import NOWHERE, Storefront, read, refused, send

from tallystick.cli.launch import Server
from tallystick.cli.main import run
from tenant import Tenant, new_tenant

HOSTILE = "=cmd|' /C calc'!A0<script>"


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[tuple[Tenant, httpx.Client, str]]:
    """A tenant with one account, whose plan's product has a hostile name, and its bill of 21.00 for January."""
    tenant = new_tenant(server)
    with tenant.http() as http:
        store = Storefront(http)
        aggregation = read(http.get(f"/aggregations/{store.ids['/aggregations']}"))
        read(send(http, "PUT", f"/aggregations/{aggregation['id']}", aggregation | {"name": HOSTILE}))
        store.traffic("one", 4)
        job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}))
        until = time.monotonic() + 30
        while job["status"] != "COMPLETE":
            assert time.monotonic() < until
            time.sleep(0.05)
            job = read(http.get(f"/billjobs/{job['id']}"))
        yield tenant, http, job["billIds"][0]


def text_of(pdf: bytes) -> str:
    return "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


def test_an_invoice_as_pdf(shop: tuple[Tenant, httpx.Client, str]) -> None:
    _, http, bill = shop
    reply = http.get(f"/bills/{bill}/invoice")
    assert reply.headers["content-type"] == "application/pdf"
    assert reply.headers["content-disposition"] == 'attachment; filename="bill-acme-2025-01-01.pdf"'
    text = text_of(reply.content)
    assert "Draft invoice" in text
    assert "$21.00" in text
    assert "=cmd|" in text
    assert "tallystick-warning" not in reply.headers
    assert http.get(f"/bills/{bill}/invoice").content == reply.content


def test_an_invoice_as_html_escapes_names_and_may_load_nothing(shop: tuple[Tenant, httpx.Client, str]) -> None:
    _, http, bill = shop
    reply = http.get(f"/bills/{bill}/invoice?format=html&locale=de")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert 'lang="de"' in reply.text
    assert "21,00" in reply.text
    assert "<script" not in reply.text
    assert "&lt;script&gt;" in reply.text
    assert "default-src 'none'; style-src" in reply.text


def test_lines_as_csv_hold_no_formula(shop: tuple[Tenant, httpx.Client, str]) -> None:
    _, http, bill = shop
    reply = http.get(f"/bills/{bill}/lineitems.csv")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    rows = [line.split(",") for line in reply.text.split("\r\n")]
    assert rows[0][2:5] == ["line", "type", "description"]
    assert [row[4] for row in rows[1:3]] == ["Standing Charge", "'" + HOSTILE]
    assert [row[-2] for row in rows[1:4]] == ["20.00", "1.00", "21.00"]


@pytest.mark.parametrize(
    ("query", "field"), [("format=docx", "format"), ("locale=xx-nowhere", "locale"), ("paper=A3", "paper")]
)
def test_what_cannot_be_asked_for_is_named(shop: tuple[Tenant, httpx.Client, str], query: str, field: str) -> None:
    _, http, bill = shop
    assert refused(http.get(f"/bills/{bill}/invoice?{query}"))["message"].startswith(f"{field}: must be")


def test_a_bill_that_is_not_there_has_no_invoice(shop: tuple[Tenant, httpx.Client, str]) -> None:
    _, http, _ = shop
    refused(http.get(f"/bills/{NOWHERE}/invoice"), 404)
    refused(http.get(f"/bills/{NOWHERE}/lineitems.csv"), 404)


def test_settings_of_the_organisation_hold_until_the_account_says_otherwise(
    shop: tuple[Tenant, httpx.Client, str],
) -> None:
    _, http, bill = shop
    settings = read(http.get("/invoiceconfig"))
    assert (settings["locale"], settings["paper"], settings["version"]) == ("en-US", "A4", 1)
    wanted = {"sellerName": "Krug & Söhne", "taxId": "DE 1", "footer": "Seit 1900", "locale": "de-DE", "version": 1}
    assert read(send(http, "PUT", "/invoiceconfig", wanted))["sellerName"] == "Krug & Söhne"
    german = http.get(f"/bills/{bill}/invoice?format=html").text
    assert "Rechnungsentwurf" in german
    assert "Krug &amp; Söhne" in german
    assert "Seit 1900" in german
    account = read(http.get("/accounts?codes=acme"))["data"][0]
    fields = {"invoiceLocale": "fr-FR", "taxId": "FR 42", "invoicePaper": "LETTER"}
    read(send(http, "PUT", f"/accounts/{account['id']}", account | {"customFields": fields}))
    french = http.get(f"/bills/{bill}/invoice?format=html").text
    assert "Projet de facture" in french
    assert "FR 42" in french
    assert 'lang="ja-JP"' in http.get(f"/bills/{bill}/invoice?format=html&locale=ja-JP").text
    page = pypdf.PdfReader(io.BytesIO(http.get(f"/bills/{bill}/invoice").content)).pages[0]
    assert round(page.mediabox.height) == 792
    refused(send(http, "PUT", "/invoiceconfig", {"locale": "tlh"}))
    refused(send(http, "PUT", "/invoiceconfig", {"locale": "xq", "version": 2}))


def test_the_command_line_writes_files(
    shop: tuple[Tenant, httpx.Client, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, http, bill = shop
    for name, value in tenant.environment().items():
        monkeypatch.setenv(name, value)
    for ending, begins in (("pdf", b"%PDF-"), ("html", b"<!doctype html>"), ("csv", b"bill,invoice,line,")):
        path = tmp_path / f"file.{ending}"
        assert run(["bill", "invoice", bill, "-o", str(path)]) == 0
        assert path.read_bytes().startswith(begins)
    assert path.read_bytes() == http.get(f"/bills/{bill}/lineitems.csv").content
    assert run(["bill", "invoice", bill, "-o", "file.docx"]) == 1
