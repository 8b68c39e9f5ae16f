"""Invoices are as the text files say, and the PDF says the same as the HTML."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pypdf
import pytest
from golden_invoices import FILES, INVOICES, Golden, text_of

from tallystick.invoice.pdf import Printer


@pytest.fixture(scope="module")
def printer() -> Iterator[Printer]:
    made = Printer(processes=1)
    yield made
    made.close()


@pytest.mark.parametrize("golden", INVOICES, ids=lambda golden: golden.name)
def test_an_invoice_is_as_its_file_says(golden: Golden) -> None:
    text = text_of(golden.view())
    assert golden.total in re.sub("‹[0-9A-F]+›", "", text)
    assert text == (FILES / f"{golden.name}.txt").read_text(encoding="utf-8")


def test_there_are_no_other_files() -> None:
    assert {path.stem for path in FILES.iterdir()} == {golden.name for golden in INVOICES}


@pytest.mark.parametrize("golden", INVOICES[:3], ids=lambda golden: golden.name)
def test_the_pdf_says_the_same(golden: Golden, printer: Printer) -> None:
    view = golden.view()
    pages = pypdf.PdfReader(io.BytesIO(printer.print(view).pdf)).pages
    text = _bare("".join(page.extract_text() for page in pages))
    wanted = [view.title, view.customer.name, view.seller.name, *view.seller.lines, view.terms]
    wanted += [each for fact in (*view.facts, *view.totals) for each in (fact.label, fact.value)]
    wanted += [each for line in view.lines for each in (line.description, line.quantity, line.unit_price, line.amount)]
    wanted += [step for each in view.working for step in (each.sentence, *each.steps)]
    assert [words for words in wanted if _bare(words) not in text] == []


def _bare(text: str) -> str:
    """Without spaces, and without marks of direction and places to break at."""
    return re.sub(r"[\s\u200b\u2066-\u2069]", "", text)
