"""What all charts are drawn with: a frame, scales with ticks at round values, marks, the legend and the table.

Values come in as exact decimals and stay exact in the table and in what a mark says on hovering. Places are whole
tenths of a unit of the drawing, so that the same values always give the same text. Nothing has a style attribute:
colours, dashes and sizes are classes of `static/charts.css`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from html import escape

import msgspec

from tallystick.core.quantity import plain
from tallystick.core.wording import number

WIDTH, HEIGHT = 640, 260
TOP, BOTTOM, RIGHT = 14, 34, 10  # what is left free around the marks, besides the names of ticks at the left
COLOURS = 8  # classes series-1 to series-8; dashes and patterns differ in another rhythm, so that pairs recur late
PATTERNS = 5
MOST_TICKS = 5
MOST_NAMES = 6  # of what lies across; every second one is hidden where the chart is narrow
LONGEST_TICK = 9
LETTER = 10  # the width of a digit at phone width, in units of the drawing
NOTHING = "Nothing to show yet"


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What a chart is called. `key` is unique on its page: letters, digits and hyphens. `across` heads the first
    column of the table, `unit` stands beside the title, `show` writes values exactly."""

    key: str
    title: str
    unit: str = ""
    across: str = "Day"
    show: Callable[[Decimal], str] = number


class Series(msgspec.Struct, frozen=True):
    """A name and a value at each place; None where nothing is known, which is not zero."""

    name: str
    values: tuple[Decimal | None, ...]


class Table(msgspec.Struct, frozen=True):
    """The same as the chart says, exactly: for each row its name and its values."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Decimal | None, ...]], ...]


class Chart(msgspec.Struct, frozen=True):
    """A figure as HTML. A template writes it as it is: everything in it is escaped already."""

    html: str

    def __html__(self) -> str:
        return self.html


class Scale(msgspec.Struct, frozen=True):
    """From values to places: `low` lies at `start`, `high` at `end`, in tenths of a unit."""

    low: Fraction
    high: Fraction
    start: int
    end: int

    def tenths(self, value: Decimal | Fraction) -> int:
        return self.start + round((Fraction(value) - self.low) / (self.high - self.low) * (self.end - self.start))

    def place(self, value: Decimal | Fraction) -> str:
        return written(self.tenths(value))


class Ticks(msgspec.Struct, frozen=True):
    """Round values that the axis is marked at; the first and the last hold all others between them."""

    values: tuple[Decimal, ...]

    @property
    def margin(self) -> int:
        """How much room the names of the ticks need, at phone width too."""
        return max(len(short(each)) for each in self.values) * LETTER + 12


def round_ticks(lowest: Fraction, highest: Fraction, most: int = MOST_TICKS) -> Ticks:
    """Ticks at multiples of 1, 2 or 5 times a power of ten, around zero and all values."""
    low, high = min(lowest, Fraction(0)), max(highest, Fraction(0))
    if low == high:
        high = Fraction(1)
    step = _step((high - low) / most)
    first, last = low // Fraction(step), -(-high // Fraction(step))
    return Ticks(tuple(step * count for count in range(first, last + 1)))


def _step(least: Fraction) -> Decimal:
    """The smallest round number that is not below `least`."""
    exponent = len(str(int(least))) - 1 if least >= 1 else -len(str(int(1 / least)))
    for digit in (1, 2, 5, 10):
        step = Decimal(digit).scaleb(exponent)
        if Fraction(step) >= least:
            return step
    return Decimal(20).scaleb(exponent)


def short(value: Decimal) -> str:
    """A value in few letters: 1,500 is 1.5k. Ticks have few digits, so nothing of them is rounded away."""
    size = abs(value)
    letters, power = next(((name, power) for name, power in _LETTERS if size >= Decimal(1).scaleb(power)), ("", 0))
    words = plain(value.scaleb(-power)) + letters
    if len(words) > LONGEST_TICK:
        words = f"{value:.2e}".replace("e+", "e")
    return words.replace("-", "−")


_LETTERS = (("tn", 12), ("bn", 9), ("M", 6), ("k", 3))


def written(tenths: int) -> str:
    """Tenths of a unit as SVG has them: 125 is 12.5."""
    whole, rest = divmod(abs(tenths), 10)
    return f"{'-' if tenths < 0 else ''}{whole}" + (f".{rest}" if rest else "")


# ------------------------------------------------------------------------------------------------------ elements


def element(name: str, inner: str = "", **attributes: object) -> str:
    """An element with its attributes escaped; `class_` is class, `stroke_width` stroke-width. `inner` is HTML."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{inner}</{name}>"


def text(words: str, x: object, y: object, anchor: str = "start", **more: object) -> str:
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, **more)


def title(words: str) -> str:
    """What a mark says on hovering."""
    return element("title", escape(words))


def colour(index: int) -> str:
    return f"series-{index % COLOURS + 1}"


def dash(index: int) -> str:
    return f"dash-{index % PATTERNS + 1}"


def pattern_id(frame: Frame, index: int) -> str:
    return f"{frame.key}-fill-{index + 1}"


# The ink of each pattern on a tile of 8 by 8: nothing, slanting lines, dots, lines upright, lines slanting back.
_INK = ("", "M-2 2L2 -2M0 8L8 0M6 10L10 6", "M4 3.9v.2", "M4 0V8", "M-2 6L2 10M0 0L8 8M6 -2L10 2")


def patterns(frame: Frame, count: int) -> str:
    """A fill for each series: its colour, and from the second on an ink, so that colour is never all."""
    tiles = []
    for index in range(count):
        ground = element("rect", width=8, height=8, class_=f"chart-fill {colour(index)}")
        ink = _INK[index % PATTERNS]
        drawn = (
            element("path", d=ink, class_="chart-ink" + (" chart-dots" if ink.endswith("v.2") else "")) if ink else ""
        )
        tiles.append(
            element(
                "pattern",
                ground + drawn,
                id=pattern_id(frame, index),
                width=8,
                height=8,
                patternUnits="userSpaceOnUse",
            )
        )
    return element("defs", "".join(tiles))


def value_axis(ticks: Ticks, scale: Scale, left: int) -> str:
    """A line across at each tick with its value; zero is drawn stronger."""
    drawn = []
    for value in ticks.values:
        y = scale.tenths(value)
        kind = "chart-zero" if not value else "chart-grid"
        drawn.append(element("line", x1=left, x2=WIDTH - RIGHT, y1=written(y), y2=written(y), class_=kind))
        drawn.append(text(short(value), left - 8, written(y), "end", dy="0.35em"))
    return element("g", "".join(drawn), class_="chart-axis")


def names_across(names: Sequence[str], centre: Callable[[int], int]) -> str:
    """Names of places below the marks: evenly chosen, never more than fit; `centre` gives tenths."""
    step = -(-len(names) // MOST_NAMES) or 1
    drawn = []
    for order, index in enumerate(range(0, len(names), step)):
        x = centre(index)
        anchor = "end" if x > (WIDTH - 40) * 10 else "middle"
        drawn.append(
            text(clipped(names[index], 14), written(x), HEIGHT - 8, anchor, class_="chart-minor" if order % 2 else None)
        )
    return element("g", "".join(drawn), class_="chart-axis")


def clipped(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


# ------------------------------------------------------------------------------------------------------ figure


def figure(
    frame: Frame, kind: str, said: str, drawn: str, table: Table, legend: str = "", height: int = HEIGHT
) -> Chart:
    """The figure around a drawing: heading, legend, and the table that anybody can open."""
    names = element("title", escape(frame.title), id=f"{frame.key}-title")
    names += element("desc", escape(said), id=f"{frame.key}-desc")
    if not table.rows:
        drawn = text(NOTHING, WIDTH // 2, height // 2, "middle", class_="chart-nothing")
    labelled = f"{frame.key}-title {frame.key}-desc"
    svg = element(
        "svg",
        names + drawn,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=labelled,
        class_="chart-drawing",
    )
    unit = " " + element("span", escape(frame.unit), class_="chart-unit") if frame.unit else ""
    heading = element("figcaption", escape(frame.title) + unit, class_="chart-title")
    return Chart(element("figure", heading + svg + legend + _details(frame, table), class_=f"chart chart-{kind}"))


def legend_of(names: Iterable[str], swatch: Callable[[int], str]) -> str:
    """Which mark is whose; nothing for a single series, which the title names."""
    items = [
        element(
            "li",
            element("svg", swatch(index), viewBox="0 0 28 12", aria_hidden="true", class_="chart-swatch")
            + element("span", escape(name)),
        )
        for index, name in enumerate(names)
    ]
    return element("ul", "".join(items), class_="chart-legend") if len(items) > 1 else ""


def line_swatch(index: int) -> str:
    return element("line", x1=1, x2=27, y1=6, y2=6, class_=f"chart-line {colour(index)} {dash(index)}")


def fill_swatch(frame: Frame, index: int) -> str:
    return element("rect", width=28, height=12, rx=2, fill=f"url(#{pattern_id(frame, index)})")


def _details(frame: Frame, table: Table) -> str:
    if not table.rows:
        return ""
    unit = f" ({frame.unit})" if frame.unit else ""
    caption = element("caption", escape(frame.title + unit))
    heads = "".join(element("th", escape(head), scope="col") for head in table.heads)
    body = "".join(
        element("tr", element("th", escape(name), scope="row") + "".join(_cell(frame, value) for value in values))
        for name, values in table.rows
    )
    inner = caption + element("thead", element("tr", heads)) + element("tbody", body)
    scrolled = element(
        "div", element("table", inner), class_="chart-scroll", tabindex=0, role="region", aria_label=frame.title
    )
    return element("details", element("summary", "Show as a table") + scrolled, class_="chart-table")


def _cell(frame: Frame, value: Decimal | None) -> str:
    if value is None:
        return element("td", "–")
    return element("td", escape(frame.show(value)), data_value=plain(value))
