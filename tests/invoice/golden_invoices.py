"""Invoices kept as text files in tests/invoice/golden, for people who know invoices and not Python.

Each is the HTML reduced to its text. `python tests/invoice/golden_invoices.py`, with `tests` and `tests/invoice` in
PYTHONPATH, writes the files anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import msgspec
from invoice_world import ADDRESS, HOSTILE, SELLER, many_lines, record_from, record_of, source_of

from billing_world import Answerer, World, always, bands
from golden_bills import Story
from tallystick.core.bill import BillStatus
from tallystick.core.organization import CurrencyConversion
from tallystick.invoice.html import html_of
from tallystick.invoice.view import InvoiceView, Source, view_of

FILES = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Golden:
    """An invoice: its file, its language, its total as reckoned by hand, and what it is made of."""

    name: str
    locale: str
    total: str
    source: Callable[[], Source]

    def view(self) -> InvoiceView:
        return view_of(self.source(), locale=self.locale)


def _british() -> Source:
    return source_of(record_of("discounts"), address=ADDRESS, custom_fields={"taxId": "GB 999"})


def _german() -> Source:
    seller = msgspec.structs.replace(SELLER, payment_terms="Zahlbar innerhalb von 14 Tagen.", footer="")
    return source_of(record_of("conversion"), name="Müller & Söhne GmbH", config=seller)


def _yen() -> tuple[World, str, Answerer]:
    world = World()
    world.aggregation("API calls")
    world.plan()
    world.pricing("price", bands((0, "0.05"), (1000, "0.0333")), cumulative=True)
    world.currency("JPY", 0)
    world.config(currency_conversions=(CurrencyConversion(from_="USD", to="JPY", multiplier=Decimal(150)),))
    world.account(currency="JPY")
    world.account_plan()
    return world, "2023-03-10", always(1234)


def _japanese() -> Source:
    story = Story("yen", "1,234 calls, billed in yen.", "8669", _yen)
    return source_of(record_from(story, purchase_order_number="PO-7"), name="株式会社ドングリ")


def _arabic() -> Source:
    record = many_lines(record_of("segments", status=BillStatus.PENDING), len(HOSTILE), HOSTILE)
    return source_of(record, name="شركة البلوط <b> \u202eالمحدودة", code="acme")


INVOICES = (
    # 100.00 a month and 1,000 calls at 0.10, less 20% of 200.00, less 62.00 × 15/31.
    Golden("british_pounds_off", "en-GB", "US$130.00", _british),
    # 1,234 calls at 0.0333 USD are 41.0922 USD, at 0.925 EUR 38.010285.
    Golden("german_conversion", "de-DE", "38,01\xa0€", _german),
    # 1,000 calls at 0.05 and 234 at 0.0333 are 57.7922 USD, at 150 JPY 8,668.83: yen have no decimals.
    Golden("japanese_yen", "ja-JP", "￥8,669", _japanese),
    # The total is the bill's: 100 and 10 calls at 0.05, 1,000 at 0.03, 2,000 at 0.02.
    Golden("arabic_hostile_names", "ar-EG", "75.50\xa0US$", _arabic),
)


class _Text(HTMLParser):
    """What a page says: rows of tables and blocks as lines, cells apart."""

    BLOCKS = frozenset({"p", "h1", "h2", "div", "tr", "li", "dd", "footer", "section", "br", "header"})

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent = self._silent or tag in {"style", "caption", "title"}
        self.said.append("\n" if tag in self.BLOCKS else " | " if tag in {"td", "th", "small"} else " ")

    def handle_endtag(self, tag: str) -> None:
        self._silent = self._silent and tag not in {"style", "caption", "title"}
        if tag in self.BLOCKS:
            self.said.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.said.append(data)


def text_of(view: InvoiceView) -> str:
    """The invoice as HTML, reduced to its text; marks of direction are written out."""
    reader = _Text()
    reader.feed(html_of(view))
    lines = (re.sub(r"[ \t]+", " ", line).strip(" |") for line in "".join(reader.said).splitlines())
    text = "\n".join(line for line in lines if line) + "\n"
    return re.sub("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", lambda mark: f"‹{ord(mark[0]):04X}›", text)


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for each in INVOICES:
        (FILES / f"{each.name}.txt").write_text(text_of(each.view()), encoding="utf-8")
