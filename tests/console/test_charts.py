"""Charts: what lies where, what is said on hovering and in the table, and that nothing hostile gets through."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import jinja2
import pytest

from tallystick.console import charts
from tallystick.console.chart_drawing import Chart, Frame, Series, round_ticks, short
from tallystick.console.charts import Curve, Segment, bars, burn_down, horizontal_bars, lines, price_steps, sparkline

HOSTILE = "<script>alert('1')</script>\"&\u202e"
SHEET = Path(charts.__file__).parent / "static" / "charts.css"


def frame(title: str = "Usage", **more: str) -> Frame:
    return Frame(key="chart", title=title, **more)  # type: ignore[arg-type]  # only texts are given


def series(name: str, *values: object) -> Series:
    return Series(name, tuple(None if value is None else Decimal(str(value)) for value in values))


def tree(chart: Chart) -> ElementTree.Element:
    """A chart is well formed as XML too, so that every attribute and element is closed."""
    return ElementTree.fromstring(chart.html)  # noqa: S314  what is read was drawn by the lines above


def marks(chart: Chart) -> list[str]:
    return [str(each.findtext("title")) for each in tree(chart).iter("g") if each.get("class") == "chart-mark"]


def cells(chart: Chart) -> list[tuple[str | None, str | None]]:
    return [(cell.get("data-value"), cell.text) for cell in tree(chart).iter("td")]


def segment(start: str, end: str, first: str, last: str) -> Segment:
    return Segment(start=Decimal(start), end=Decimal(end), price_at_start=Decimal(first), price_at_end=Decimal(last))


STEPS = (segment("0", "1000", "0.05", "0.05"), segment("1000", "5000", "0.03", "0.03"))
KINDS: dict[str, Callable[[str], Chart]] = {
    "lines": lambda name: lines(frame(name), [name, "2"], [series(name, 1, 2)], area=True, limit=Decimal(3)),
    "burn_down": lambda name: burn_down(frame(name), [name, "2"], [Decimal(9), None], [None, Decimal(4)]),
    "bars": lambda name: bars(frame(name, unit=name), [name], [series(name, 1), series(name, -2)]),
    "stacked": lambda name: bars(frame(name, across=name), [name], [series(name, 1), series(name, 2)], stacked=True),
    "rows": lambda name: horizontal_bars(frame(name), [(name, Decimal(3)), (name, Decimal(-1))]),
    "steps": lambda name: price_steps(frame(name), [Curve(name, STEPS)] * 2, edges=[Decimal(1000)]),
    "sparkline": lambda name: sparkline("spark", name, [Decimal(1), Decimal(2)]),
}
EMPTY = [
    lines(frame(), [], []),
    lines(frame(), ["1", "2"], [series("a", None, None)]),
    burn_down(frame(), [], [], []),
    bars(frame(), [], []),
    bars(frame(), ["1"], [], stacked=True),
    horizontal_bars(frame(), []),
    price_steps(frame(), []),
]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_names_stay_text(kind: str) -> None:
    chart = KINDS[kind](HOSTILE)
    assert "<script" not in chart.html
    assert HOSTILE in "".join(tree(chart).itertext())
    assert jinja2.Environment(autoescape=True).from_string("{{ chart }}").render(chart=chart) == chart.html


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_is_named_for_those_who_do_not_see_it_and_has_no_style_of_its_own(kind: str) -> None:
    chart = KINDS[kind]("Usage")
    drawing = next(each for each in [tree(chart), *tree(chart).iter("svg")] if each.get("role") == "img")
    named = {each.get("id") for each in drawing if each.tag in {"title", "desc"}}
    assert set((drawing.get("aria-labelledby") or "").split()) == named
    assert "style=" not in chart.html
    sheet = SHEET.read_text(encoding="utf-8")
    used = {name for names in re.findall(r'class="([^"]*)"', chart.html) for name in names.split()}
    layout = {"chart-lines", "chart-bars", "chart-rows", "chart-steps", "chart-axis", "chart-bar", "dash-1"}
    assert [name for name in sorted(used - layout) if f".{name}" not in sheet] == []


@pytest.mark.parametrize("chart", EMPTY)
def test_a_chart_without_values_says_so(chart: Chart) -> None:
    assert "Nothing to show yet" in chart.html
    assert "<table" not in chart.html
    assert marks(chart) == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("0", "0", "0 0.2 0.4 0.6 0.8 1"),
        ("0", "10", "0 2 4 6 8 10"),
        ("3", "7", "0 2 4 6 8"),
        ("0", "12000", "0 5k 10k 15k"),
        ("0", "3400000", "0 1M 2M 3M 4M"),
        ("-400", "2100", "−500 0 500 1k 1.5k 2k 2.5k"),
        ("-20", "-1", "−20 −15 −10 −5 0"),
        ("0", "0.0007", "0 0.0002 0.0004 0.0006 0.0008"),
        ("0", "4e17", "0 100000tn 200000tn 300000tn 400000tn"),
        ("0", "4e-11", "0 1.00e−11 2.00e−11 3.00e−11 4.00e−11"),
    ],
)
def test_ticks_stand_at_round_values_around_all_values_and_zero(low: str, high: str, expected: str) -> None:
    assert " ".join(short(tick) for tick in round_ticks(Fraction(low), Fraction(high)).values) == expected


def test_values_are_exact_on_hovering_and_in_the_table() -> None:
    tiny = "0.000000000000000001"
    chart = lines(frame(), ["1 May", "2 May"], [series("a", "1234567.5", None), series("b", tiny, 3)])
    assert marks(chart) == [f"1 May: a 1,234,567.5; b {tiny}", "2 May: b 3"]
    assert cells(chart) == [("1234567.5", "1,234,567.5"), (tiny, tiny), (None, "–"), ("3", "3")]


def test_a_gap_ends_a_line_and_a_lone_value_is_a_point() -> None:
    drawn = tree(lines(frame(), list("12345"), [series("a", 1, 2, None, 3, None)]))
    assert len([each for each in drawn.iter("path") if "chart-line" in str(each.get("class"))]) == 1
    assert len([each for each in drawn.iter("circle") if "chart-point" in str(each.get("class"))]) == 1


def test_stacked_bars_stand_on_each_other_and_those_below_zero_hang() -> None:
    """The axis reaches from −1 to 3 over 212 units from 226 up to 14: one unit of value is 53 high, zero at 173."""
    chart = bars(frame(), ["May"], [series("a", 2), series("b", 1), series("c", -1)], stacked=True)
    drawn = [each for each in tree(chart).iter("rect") if each.get("class") == "chart-bar"]
    assert [(each.get("y"), each.get("height")) for each in drawn] == [("67", "106"), ("14", "53"), ("173", "53")]
    assert marks(chart) == ["May, a: 2", "May, b: 1", "May, c: -1"]


def test_series_differ_in_more_than_colour() -> None:
    many = [series(str(index), 1, 2) for index in range(5)]
    dashes = re.findall(r'class="chart-line series-\d (dash-\d)"', lines(frame(), ["1", "2"], many).html)
    assert set(dashes) == {"dash-1", "dash-2", "dash-3", "dash-4", "dash-5"}
    inks = [each.find("path") for each in tree(bars(frame(), ["1", "2"], many)).iter("pattern")]
    assert len({None if ink is None else ink.get("d") for ink in inks}) == 5


def test_a_price_curve_marks_the_edges_of_bands_and_what_each_stretch_costs() -> None:
    chart = price_steps(
        frame(), [Curve("Now", STEPS)], edges=[Decimal(0), Decimal(1000), Decimal(9000)], quantity=Decimal(2500)
    )
    assert marks(chart) == [
        "A band begins above 1,000 units",
        "Now, above 0 up to 1,000: 0.05",
        "Now, above 1,000 up to 5,000: 0.03",
        "Now: 2,500 units",
    ]
    assert "chart-riser" in chart.html
    assert cells(chart)[::2] == [("0.05", "0.05"), ("0.03", "0.03")]


def test_a_bar_of_almost_nothing_can_still_be_seen_and_nothing_has_none() -> None:
    chart = horizontal_bars(frame(), [("much", Decimal(10**9)), ("little", Decimal("0.01")), ("none", Decimal(0))])
    widths = [each.get("width") for each in tree(chart).iter("rect") if each.get("class") == "chart-bar"]
    assert widths == ["640", "1", "0"]


def test_values_of_any_size_have_a_place() -> None:
    chart = lines(frame(), ["1", "2"], [series("a", "99999999999999999999.999999999999999999", "-1e-18")])
    numbers = re.findall(r'd="M([\d. ]+)L([\d. ]+)"', chart.html)
    assert numbers
    assert cells(chart)[0][0] == "99999999999999999999.999999999999999999"
