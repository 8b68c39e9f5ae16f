"""PDF: what is printed can be read back, pages and glyphs are all there, and no template can do harm."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pypdf
import pytest
from invoice_world import HOSTILE, SELLER, many_lines, png_logo, record_of, source_of, view

from tallystick.core.bill import BillStatus
from tallystick.core.logo import PortalLogo
from tallystick.errors import Refusal
from tallystick.invoice.pdf import Printed, Printer
from tallystick.invoice.view import view_of


@pytest.fixture(scope="module")
def printer() -> Iterator[Printer]:
    made = Printer(processes=1)
    yield made
    made.close()


def pages_of(printed: Printed) -> list[str]:
    reader = pypdf.PdfReader(io.BytesIO(printed.pdf))
    return [_bare(page.extract_text()) for page in reader.pages]


def _bare(text: str) -> str:
    """Without the marks of direction and places to break at."""
    return re.sub("[\u200b\u2066-\u2069]", "", text)


def test_the_same_bill_gives_the_same_bytes(printer: Printer) -> None:
    first = printer.print(view())
    again = Printer(processes=1)
    try:
        assert again.print(view()).pdf == first.pdf
    finally:
        again.close()
    reader = pypdf.PdfReader(io.BytesIO(first.pdf))
    assert reader.metadata is not None
    assert str(reader.metadata.creation_date).startswith("2023-04-01")


def test_an_invoice_has_its_lines_its_total_and_the_working(printer: Printer) -> None:
    first, second = pages_of(printer.print(view("calls_tiered", locale="en-US")))
    for words in ("Invoice", "INV-000042", "Acorn plc", "Quill & Ink Ltd", "API calls", "15,000", "$250.00", "1 of 2"):
        assert words in first
    assert "Draft" not in first
    assert "5,000 × 0.02 = 100.00" in second
    assert "$0.015" in second


@pytest.mark.parametrize(("paper", "size"), [("A4", (595, 842)), ("letter", (612, 792))])
def test_papers(printer: Printer, paper: str, size: tuple[int, int]) -> None:
    page = pypdf.PdfReader(io.BytesIO(printer.print(view(paper=paper)).pdf)).pages[0]
    assert (round(page.mediabox.width), round(page.mediabox.height)) == size


def test_what_is_not_final_says_so_on_every_page(printer: Printer) -> None:
    draft = view_of(source_of(record_of("calls_tiered", status=BillStatus.PENDING)))
    estimate = view_of(source_of(record_of("calls_tiered"), estimate=True))
    for shown, word in ((draft, "Draft invoice"), (estimate, "Estimate")):
        assert all(word in page for page in pages_of(printer.print(shown)))


def test_a_bill_of_500_lines_repeats_the_head_of_its_table_and_counts_its_pages(printer: Printer) -> None:
    config = msgspec.structs.replace(SELLER, show_working=False)
    source = source_of(many_lines(record_of("calls_tiered"), 500), config=config)
    pages = pages_of(printer.print(view_of(source)))
    assert [f"Page {number} of {len(pages)}" in page for number, page in enumerate(pages, 1)] == [True] * len(pages)
    assert len(pages) > 8
    assert all("Description" in page and "Amount" in page for page in pages)
    shown = re.findall(r"Line of item (\d+)", "".join(pages))
    assert shown == [str(number) for number in range(1, 501)]


def test_hostile_names_are_printed_and_do_nothing(printer: Printer) -> None:
    source = source_of(many_lines(record_of("calls_tiered"), len(HOSTILE), HOSTILE), name=HOSTILE[0])
    text = "".join(pages_of(printer.print(view_of(source))))
    for words in ('#panic("no")', "*bold* _it_ $x^2$ `raw` @label <tag>", "alert(1)", "@preview/x:1.0.0", "=HYPERLINK"):
        assert words in text
    assert "W" * 190 in re.sub(r"\s", "", text)


@pytest.mark.parametrize(
    ("locale", "name", "words"),
    [
        ("ja-JP", "株式会社ドングリ", ["請求書", "株式会社ドングリ", "合計"]),
        ("zh-CN", "橡子有限公司", ["橡子有限公司", "合计"]),
        ("ko-KR", "도토리 주식회사", ["도토리 주식회사"]),
        ("he-IL", "אלון", ["אלון"]),
        ("ar-EG", "شركة", ["$"]),  # joined letters come back as the shapes they are drawn with
    ],
)
def test_other_scripts_have_glyphs(printer: Printer, locale: str, name: str, words: list[str]) -> None:
    printed = printer.print(view_of(source_of(record_of("calls_tiered"), name=name), locale=locale))
    text = pages_of(printed)[0]
    assert printed.missing == ""
    assert "\x00" not in text, "a character without a glyph"
    assert [each for each in words if each not in text] == []


def test_a_character_that_no_font_has_is_named(printer: Printer) -> None:
    printed = printer.print(view_of(source_of(record_of("calls_tiered"), name="ไทย plc 😀")))
    assert printed.missing == "ทยไ😀"
    assert "plc" in pages_of(printed)[0]


def test_a_logo_is_on_the_first_page(printer: Printer) -> None:
    reader = pypdf.PdfReader(
        io.BytesIO(printer.print(view_of(source_of(record_of("calls_tiered"), logo=png_logo()))).pdf)
    )
    assert [len(page.images) for page in reader.pages] == [1, 0]


def test_a_broken_logo_is_left_out(printer: Printer) -> None:
    """Its head is right, so that it could be kept; what follows is cut."""
    whole = png_logo()
    broken = PortalLogo(media_type=whole.media_type, content=base64.b64encode(whole.data[:45]).decode())
    source = source_of(record_of("calls_tiered"))
    printed = printer.print(view_of(msgspec.structs.replace(source, logo=broken)))
    assert printed.pdf == printer.print(view_of(source)).pdf


def test_a_process_that_was_ended_from_outside_is_started_again() -> None:
    printer = Printer(processes=1)
    try:
        first = printer.print(view())
        running = printer._processes[0]._running
        assert running is not None
        running.kill()
        running.wait()
        assert printer.print(view()).pdf == first.pdf
    finally:
        printer.close()


def test_an_operator_replaces_the_template_for_all_or_for_one_organisation(tmp_path: Path) -> None:
    own = '#let data = json(bytes(sys.inputs.data))\n#read("words.txt") #data.title #data.customer.name'
    for place, words in ((tmp_path, "everyone"), (tmp_path / "one", "only one")):
        place.mkdir(exist_ok=True)
        (place / "invoice.typ").write_text(own, encoding="utf-8")
        (place / "words.txt").write_text(words, encoding="utf-8")
    printer = Printer(tmp_path, processes=1)
    try:
        assert pages_of(printer.print(view(), "one")) == ["only one Invoice Acorn plc"]
        assert pages_of(printer.print(view(), "two")) == ["everyone Invoice Acorn plc"]
    finally:
        printer.close()


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Printer]]:
    """A directory of templates, and a printer that gives each job a second."""
    place = tmp_path_factory.mktemp("invoice") / "templates"
    place.mkdir()
    (place.parent / "secret").write_text("secret", encoding="utf-8")
    printer = Printer(place, processes=1, seconds=3)  # a busy machine needs one to start the process
    yield place, printer
    printer.close()


@pytest.mark.parametrize(
    ("name", "template", "told"),
    [
        ("above", '#read("/../../secret")', "would escape"),
        ("elsewhere", '#read("/etc/hostname")', "file not found"),
        ("network", '#import "@preview/cetz:0.3.0"', "failed to download"),
        ("broken", "#let data = ", "expected expression"),
        ("deep", "#let deeper(x) = deeper(x + 1)\n#deeper(1)", "depth"),
        ("endless", "#let i = 0\n#while i >= 0 { i += 1; if i > 9000 { i = 0 } }", "infinite"),
        ("slow", "#for a in range(99999) { for b in range(99999) { let c = calc.pow(b, 2) } }", "more than 3 seconds"),
    ],
)
def test_a_template_that_goes_too_far_is_refused_and_the_next_invoice_is_printed(
    templates: tuple[Path, Printer], name: str, template: str, told: str
) -> None:
    place, printer = templates
    (place / name).mkdir()
    (place / name / "invoice.typ").write_text(template, encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(Refusal, match=told) as refused:
        printer.print(view(), name)
    assert refused.value.code.name == "rule_broken"
    assert time.monotonic() - began < 20
    (place / name / "invoice.typ").write_text("done", encoding="utf-8")
    assert pages_of(printer.print(view(), name)) == ["done"]


def test_who_waits_too_long_for_a_process_is_told_to_come_back() -> None:
    with pytest.raises(Refusal) as refused:
        Printer(processes=0, seconds=0).print(view())
    assert refused.value.code.name == "busy"
