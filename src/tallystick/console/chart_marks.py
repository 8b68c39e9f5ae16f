"""The marks of charts: lines, areas and bars over days, each telling its exact value on hovering."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from tallystick.console.chart_drawing import (
    BOTTOM,
    HEIGHT,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    Scale,
    Series,
    Ticks,
    colour,
    dash,
    element,
    pattern_id,
    round_ticks,
    short,
    text,
    title,
    written,
)

Values = Sequence[Decimal | None]
WIDEST_BAR = 900  # in tenths


class Places(msgspec.Struct, frozen=True):
    """Where days lie across: from edge to edge, or `inset` in the middle of bands of equal width."""

    left: int
    count: int
    inset: bool = False
    right: int = WIDTH - RIGHT

    @property
    def band(self) -> int:
        """The width of one day, in tenths."""
        return (self.right - self.left) * 10 // max(self.count if self.inset else self.count - 1, 1)

    def centre(self, place: int) -> int:
        """The middle of a day, in tenths; a single one stands in the middle of all."""
        width = (self.right - self.left) * 10
        if self.inset or self.count == 1:
            return self.left * 10 + width * (2 * place + 1) // (2 * self.count)
        return self.left * 10 + width * place // (self.count - 1)


def known_values(series: Sequence[Series]) -> list[Fraction]:
    return [Fraction(value) for each in series for value in each.values if value is not None]


def rows_of(days: Sequence[str], series: Sequence[Series]) -> tuple[tuple[str, tuple[Decimal | None, ...]], ...]:
    assert all(len(each.values) == len(days) for each in series), "a series has a value, or None, for each day"
    return tuple((day, tuple(each.values[place] for each in series)) for place, day in enumerate(days))


def upright(values: Sequence[Fraction]) -> tuple[Ticks, Scale, int]:
    """The axis of values: its ticks, its scale, and where the marks begin at the left."""
    ticks = round_ticks(min(values, default=Fraction(0)), max(values, default=Fraction(0)))
    ends = Fraction(ticks.values[0]), Fraction(ticks.values[-1])
    return ticks, Scale(*ends, (HEIGHT - BOTTOM) * 10, TOP * 10), ticks.margin


def said_of(kind: str, frame: Frame, days: Sequence[str], series: Sequence[Series]) -> str:
    """What the description tells those who do not see the drawing."""
    if not days or not known_values(series):
        return "No values."
    span = f"{kind}, {days[0]} to {days[-1]}." if len(days) > 1 else f"{kind}, {days[0]}."
    told = " ".join(f"{each.name}: {summary(each.values)}." for each in series)
    return f"{span} {told}"


def summary(values: Values) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "no values"
    return f"{len(known)} values from {short(min(known))} to {short(max(known))}, last {short(known[-1])}"


def _runs(values: Values) -> list[list[tuple[int, Decimal]]]:
    """Stretches of places without a gap."""
    runs: list[list[tuple[int, Decimal]]] = [[]]
    for place, value in enumerate(values):
        if value is not None:
            runs[-1].append((place, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def line_of(across: Places, scale: Scale, values: Values, index: int) -> str:
    drawn = []
    for run in _runs(values):
        points = [f"{written(across.centre(place))} {scale.place(value)}" for place, value in run]
        if len(points) == 1:
            x, y = points[0].split()
            drawn.append(element("circle", cx=x, cy=y, r=4, class_=f"chart-point {colour(index)}"))
        else:
            drawn.append(element("path", d="M" + "L".join(points), class_=f"chart-line {colour(index)} {dash(index)}"))
    return "".join(drawn)


def area_of(across: Places, scale: Scale, values: Values) -> str:
    drawn = []
    floor = scale.place(Fraction(0))
    for run in _runs(values):
        points = [f"{written(across.centre(place))} {scale.place(value)}" for place, value in run]
        first, last = (written(across.centre(place)) for place in (run[0][0], run[-1][0]))
        d = f"M{first} {floor}L" + "L".join(points) + f"L{last} {floor}Z"
        drawn.append(element("path", d=d, class_=f"chart-area {colour(0)}"))
    return "".join(drawn)


def limit_of(frame: Frame, scale: Scale, left: int, limit: Decimal) -> str:
    y = scale.place(limit)
    said = f"Limit: {frame.show(limit)}"
    line = element("line", x1=left, x2=WIDTH - RIGHT, y1=y, y2=y, class_="chart-limit")
    named = text(said, left + 6, y, dy="-0.4em")
    return element("g", title(said) + line + named, class_="chart-mark")


def day_of(frame: Frame, across: Places, scale: Scale, day: tuple[str, int], series: Sequence[Series]) -> str:
    """What a day says on hovering: a strip over its whole height, and a dot on each line."""
    name, place = day
    x = across.centre(place)
    present = [(index, each.name, each.values[place]) for index, each in enumerate(series)]
    values = [(index, named, value) for index, named, value in present if value is not None]
    told = "; ".join(f"{named} {frame.show(value)}" for _, named, value in values) or "no value"
    band = across.band
    strip = element(
        "rect",
        x=written(x - band // 2),
        y=TOP,
        width=written(band),
        height=HEIGHT - TOP - BOTTOM,
        class_="chart-reach",
    )
    dots = "".join(
        element("circle", cx=written(x), cy=scale.place(value), r=4, class_=f"chart-dot {colour(index)}")
        for index, _, value in values
    )
    return element("g", title(f"{name}: {told}") + strip + dots, class_="chart-mark")


def bar_of(
    frame: Frame, index: int, value: Decimal, along: Sequence[int], over: tuple[int, int], *, across: bool = False
) -> str:
    """A bar `along` the axis of values from one place to another, `over` a place of the other axis for a width; all in
    tenths. What is not nothing is never thinner than a unit, so that it can be seen."""
    start, end = along
    length = max(end - start, 10) if value else 0
    first = start if (value > 0) is across else end - length
    x, y, width, height = (first, over[0], length, over[1]) if across else (over[0], first, over[1], length)
    return element(
        "rect",
        x=written(x),
        y=written(y),
        width=written(width),
        height=written(height),
        fill=f"url(#{pattern_id(frame, index)})",
        class_="chart-bar",
    )


def group_of(frame: Frame, across: Places, scale: Scale, day: tuple[str, int], series: Sequence[Series]) -> str:
    """The bars of one day beside each other."""
    name, place = day
    room = min(across.band * 8 // 10, WIDEST_BAR * len(series))
    width = max(room // max(len(series), 1), 5)
    left = across.centre(place) - width * len(series) // 2
    zero = scale.tenths(Fraction(0))
    drawn = []
    for index, each in enumerate(series):
        value = each.values[place]
        if value is not None:
            said = title(f"{name}, {each.name}: {frame.show(value)}")
            along = sorted((zero, scale.tenths(value)))
            bar = bar_of(frame, index, value, along, (left + index * width, max(width - 5, 5)))
            drawn.append(element("g", said + bar, class_="chart-mark"))
    return "".join(drawn)


def _stacked(values: Values) -> list[tuple[Fraction, Fraction] | None]:
    """From where to where each value reaches: upwards on those above zero, downwards on those below."""
    above = below = Fraction(0)
    spans: list[tuple[Fraction, Fraction] | None] = []
    for value in values:
        if value is None:
            spans.append(None)
        elif value >= 0:
            spans.append((above, above + Fraction(value)))
            above += Fraction(value)
        else:
            spans.append((below + Fraction(value), below))
            below += Fraction(value)
    return spans


def stack_ends(days: Sequence[str], series: Sequence[Series]) -> list[Fraction]:
    spans = [span for place in range(len(days)) for span in _stacked([each.values[place] for each in series])]
    return [end for span in spans if span is not None for end in span]


def stack_of(frame: Frame, across: Places, scale: Scale, day: tuple[str, int], series: Sequence[Series]) -> str:
    """The bars of one day on top of each other."""
    name, place = day
    width = max(min(across.band * 8 // 10, WIDEST_BAR), 5)
    drawn = []
    for index, span in enumerate(_stacked([each.values[place] for each in series])):
        value = series[index].values[place]
        if span is not None and value is not None:
            said = title(f"{name}, {series[index].name}: {frame.show(value)}")
            along = sorted((scale.tenths(span[0]), scale.tenths(span[1])))
            bar = bar_of(frame, index, value, along, (across.centre(place) - width // 2, width))
            drawn.append(element("g", said + bar, class_="chart-mark"))
    return "".join(drawn)
