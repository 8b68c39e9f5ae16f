"""Every figure of a page with the place where it stands, so that each can be held to a value of the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser

Place = tuple[str, ...]
_DAY = re.compile(r"\d{1,2} [A-Z][a-z]{2} \d{4}|[A-Z][a-z]{2} \d{1,2}, \d{4}")
_NUMBER = re.compile(r"-?[0-9,]+(\.[0-9]+)?")
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "circle", "rect", "line", "path", "polyline"}


class Figures(HTMLParser):
    """Reads a page into `found`: (place, value) for each <data>, each <time> and each cell of digits in its main part.

    A place is the caption of the table, the row's heading and the column's; or the label of a figure, or the term of a
    list; or the heading above and the text before it in its paragraph, days in them as DAY. A value is a Decimal, or
    the moment or day as on the wire.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[Place, Decimal | str]] = []
        self._open: list[tuple[str, str]] = []  # tags, each with its class
        self._texts: list[list[str]] = []  # what stands in each open tag
        self._caption = self._label = self._heading = ""
        self._columns: list[str] = []
        self._row = ""
        self._cell = self._before = 0
        self.feed(html[html.index("<main") : html.index("</main>")])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self._caption, self._columns = "", []
        elif tag == "tr":
            self._row, self._cell = "", -1
        elif tag in {"td", "th"}:
            self._before = len(self.found)
            self._cell += int(given.get("colspan") or 1) if self._cell >= 0 else 1
        if tag in {"data", "time"}:
            value = given.get("data-value") if tag == "data" else given.get("datetime")
            assert value is not None, f"a <{tag}> without its exact value: {attrs}"
            self.found.append((self._place(), Decimal(value) if tag == "data" else value))
        if tag not in VOID:
            self._open.append((tag, given.get("class") or ""))
            self._texts.append([])

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        opened, style = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"
        pieces = self._texts.pop()
        text = " ".join("".join(pieces).split())
        first = next((" ".join(each.split()) for each in pieces if each.strip()), "")
        if tag == "caption":
            self._caption = text
        elif tag == "th" and any(each == "thead" for each, _ in self._open):
            self._columns.append(text)
        elif tag == "th":
            self._row = first
        elif tag in {"dt", "h2", "h3"} or "label" in style.split():
            self._label = _DAY.sub("DAY", text)
        elif tag == "td" and _NUMBER.fullmatch(text) and len(self.found) == self._before:
            self.found.append(((self._caption, self._row, self._column()), Decimal(text.replace(",", ""))))
        if tag in {"h2", "h3"}:
            self._heading = _DAY.sub("DAY", text)
        for each in self._texts[-1:]:
            each.append(f" {text} " if tag in {"p", "li", "details", "div"} else text)

    def handle_data(self, data: str) -> None:
        if self._texts:
            self._texts[-1].append(data)

    def _place(self) -> Place:
        if any(tag == "tr" for tag, _ in self._open):
            in_heading = any(tag == "th" for tag, _ in self._open)
            return (self._caption, "" if in_heading else self._row, self._column())
        if any("value" in style.split() for _, style in self._open) or any(tag == "dd" for tag, _ in self._open):
            return (self._label,)
        before = " ".join("".join(self._texts[-1]).split()) if self._texts else ""
        return (self._heading, re.sub(r"\d[\d,.]*", "#", before))

    def _column(self) -> str:
        return self._columns[self._cell] if self._cell < len(self._columns) else ""

    def __iter__(self) -> Iterator[tuple[Place, Decimal | str]]:
        return iter(self.found)
