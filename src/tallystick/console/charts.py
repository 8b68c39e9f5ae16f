"""Charts as SVG inside the page, drawn on the server from plain values, one function a kind.

Each answers a `Chart`, which a template writes as it is. Every mark tells its exact value on hovering, the same values
stand in a table below that anybody can open, and series differ in dash or pattern as well as in colour. A chart
without values says so. See `static/charts.css` for how they look in light and in dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from html import escape

import msgspec

from tallystick.console.chart_drawing import (
    BOTTOM,
    HEIGHT,
    MOST_NAMES,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Frame,
    Scale,
    Series,
    Table,
    Ticks,
    clipped,
    colour,
    dash,
    element,
    figure,
    fill_swatch,
    legend_of,
    line_swatch,
    names_across,
    patterns,
    round_ticks,
    short,
    text,
    title,
    value_axis,
    written,
)
from tallystick.console.chart_marks import (
    Places,
    Values,
    area_of,
    bar_of,
    day_of,
    group_of,
    known_values,
    limit_of,
    line_of,
    rows_of,
    said_of,
    stack_ends,
    stack_of,
    summary,
    upright,
)

BAR_ROW = 44  # the height of a row of horizontal bars: its name above its bar
LONGEST_NAME = 44


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a price curve: from above `start` up to `end` units, the price going straight from one value to
    the other (the same twice, where it does not change)."""

    start: Decimal
    end: Decimal
    price_at_start: Decimal
    price_at_end: Decimal


class Curve(msgspec.Struct, frozen=True):
    """The segments of one price list, in rising order."""

    name: str
    segments: tuple[Segment, ...]


# ------------------------------------------------------------------------------------------------------ over days


def lines(
    frame: Frame, days: Sequence[str], series: Sequence[Series], *, area: bool = False, limit: Decimal | None = None
) -> Chart:
    """A line for each series over days (or whatever `frame.across` says); `area` fills the first one, `limit` draws a
    value that must not be crossed. A value of None leaves a gap."""
    known = known_values(series)
    table = Table((frame.across, *(each.name for each in series)), rows_of(days, series) if known else ())
    ticks, scale, left = upright([*known, *([] if limit is None else [Fraction(limit)])])
    across = Places(left, len(days))
    drawn = value_axis(ticks, scale, left) + names_across(days, across.centre)
    if area and series:
        drawn += area_of(across, scale, series[0].values)
    drawn += "".join(line_of(across, scale, each.values, index) for index, each in enumerate(series))
    if limit is not None:
        drawn += limit_of(frame, scale, left, limit)
    drawn += "".join(day_of(frame, across, scale, (days[place], place), series) for place in range(len(days)))
    legend = legend_of((each.name for each in series), line_swatch)
    return figure(frame, "lines", said_of("A line chart", frame, days, series), drawn, table, legend)


def burn_down(
    frame: Frame, days: Sequence[str], remaining: Values, projected: Values, *, limit: Decimal | None = None
) -> Chart:
    """What is left of a credit day by day, filled, and how it goes on at the present rate; `limit` is where an alert
    is due. Both have a value, or None, for each day."""
    shown = (Series("Remaining", tuple(remaining)), Series("Projected", tuple(projected)))
    told = shown if any(value is not None for value in projected) else shown[:1]
    return lines(frame, days, told, area=True, limit=limit)


def bars(frame: Frame, days: Sequence[str], series: Sequence[Series], *, stacked: bool = False) -> Chart:
    """Bars for each day: one beside the other, or one on top of the other, those below zero downwards."""
    known = known_values(series)
    table = Table((frame.across, *(each.name for each in series)), rows_of(days, series) if known else ())
    reach = stack_ends(days, series) if stacked else known
    ticks, scale, left = upright(reach)
    across = Places(left, len(days), inset=True)
    drawn = patterns(frame, len(series)) + value_axis(ticks, scale, left) + names_across(days, across.centre)
    draw = stack_of if stacked else group_of
    drawn += "".join(draw(frame, across, scale, (day, place), series) for place, day in enumerate(days))
    legend = legend_of((each.name for each in series), lambda index: fill_swatch(frame, index))
    said = said_of("A chart of stacked bars" if stacked else "A bar chart", frame, days, series)
    return figure(frame, "bars", said, drawn, table, legend)


def horizontal_bars(frame: Frame, rows: Sequence[tuple[str, Decimal]]) -> Chart:
    """A bar for each row, in the order given, with its name above and its exact value beside the name."""
    table = Table((frame.across, frame.unit or "Value"), tuple((name, (value,)) for name, value in rows))
    values = [Fraction(value) for _, value in rows]
    low, high = min([Fraction(0), *values]), max([Fraction(0), *values])
    scale = Scale(low, high if high > low else low + 1, 0, WIDTH * 10)
    drawn = patterns(frame, 1)
    for row, (name, value) in enumerate(rows):
        top = row * BAR_ROW
        said = frame.show(value)
        named = text(clipped(name, LONGEST_NAME), 0, top + 18) + text(
            said, WIDTH, top + 18, "end", class_="chart-value"
        )
        bar = bar_of(
            frame,
            0,
            value,
            sorted((scale.tenths(Fraction(0)), scale.tenths(value))),
            ((top + 25) * 10, 120),
            across=True,
        )
        drawn += element("g", title(f"{name}: {said}") + named + bar, class_="chart-mark")
        if low < 0:
            zero = scale.place(Fraction(0))
            drawn += element("line", x1=zero, x2=zero, y1=top + 23, y2=top + 39, class_="chart-zero")
    said = f"A chart of horizontal bars, {len(rows)} rows."
    return figure(frame, "rows", said, drawn, table, height=max(len(rows) * BAR_ROW, 2 * BAR_ROW))


# ------------------------------------------------------------------------------------------------------ prices


def price_steps(
    frame: Frame, curves: Sequence[Curve], *, edges: Sequence[Decimal] = (), quantity: Decimal | None = None
) -> Chart:
    """Price against quantity for one or several price lists, with the edges of bands marked, and the quantity at hand.

    The table has a row for each segment: the price at its start and at its end."""
    segments = [segment for curve in curves for segment in curve.segments]
    prices = [Fraction(price) for each in segments for price in (each.price_at_start, each.price_at_end)]
    ticks, scale, left = upright(prices)
    ends = [Fraction(each.end) for each in segments] + ([] if quantity is None else [Fraction(quantity)])
    wide = round_ticks(Fraction(0), max(ends, default=Fraction(0)), MOST_NAMES)
    last = max(ends, default=Fraction(wide.values[-1])) or Fraction(1)
    flat = Scale(Fraction(0), last, left * 10, (WIDTH - RIGHT) * 10)
    drawn = value_axis(ticks, scale, left) + _quantities(wide, flat, last)
    drawn += "".join(_edge(flat, edge) for edge in edges if 0 < edge <= last)
    drawn += "".join(_curve(frame, curve, index, flat, scale) for index, curve in enumerate(curves))
    if quantity is not None:
        x = flat.place(quantity)
        line = element("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="chart-here")
        drawn += element("g", title(f"Now: {plain_units(quantity)} units") + line, class_="chart-mark")
    legend = legend_of((curve.name for curve in curves), line_swatch)
    said = f"Price against quantity: {len(segments)} segments, up to {plain_units(_decimal(ends))} units."
    return figure(frame, "steps", said, drawn, _price_table(curves), legend)


def plain_units(value: Decimal) -> str:
    return f"{value.normalize():,f}"


def _decimal(ends: Sequence[Fraction]) -> Decimal:
    greatest = max(ends, default=Fraction(0))
    return Decimal(greatest.numerator) / Decimal(greatest.denominator)


def _price_table(curves: Sequence[Curve]) -> Table:
    several = len(curves) > 1
    rows = []
    for curve in curves:
        for each in curve.segments:
            span = f"above {plain_units(each.start)} up to {plain_units(each.end)}"
            name = f"{curve.name}: {span}" if several else span
            rows.append((name, (each.price_at_start, each.price_at_end)))
    return Table(("Units", "Price from", "Price to"), tuple(rows))


def _quantities(ticks: Ticks, scale: Scale, last: Fraction) -> str:
    inside = [each for each in ticks.values if each <= last]
    drawn = []
    for order, value in enumerate(inside):
        x = scale.tenths(value)
        anchor = "end" if x > (WIDTH - 40) * 10 else "middle"
        drawn.append(text(short(value), written(x), HEIGHT - 8, anchor, class_="chart-minor" if order % 2 else None))
    return element("g", "".join(drawn), class_="chart-axis")


def _edge(scale: Scale, edge: Decimal) -> str:
    x = scale.place(edge)
    line = element("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="chart-edge")
    return element("g", title(f"A band begins above {plain_units(edge)} units") + line, class_="chart-mark")


def _curve(frame: Frame, curve: Curve, index: int, flat: Scale, scale: Scale) -> str:
    """The segments, risers between them, and a wide stroke over each that tells its prices on hovering."""
    drawn, before = [], None
    for each in curve.segments:
        start = f"{flat.place(each.start)} {scale.place(each.price_at_start)}"
        end = f"{flat.place(each.end)} {scale.place(each.price_at_end)}"
        if before is not None and before != start:
            drawn.append(element("path", d=f"M{before}L{start}", class_=f"chart-riser {colour(index)}"))
        span = f"above {plain_units(each.start)} up to {plain_units(each.end)}"
        prices = frame.show(each.price_at_start)
        if each.price_at_end != each.price_at_start:
            prices += f" to {frame.show(each.price_at_end)}"
        path = f"M{start}L{end}"
        line = element("path", d=path, class_=f"chart-line {colour(index)} {dash(index)}")
        reach = element("path", d=path, class_="chart-reach")
        drawn.append(element("g", title(f"{curve.name}, {span}: {prices}") + line + reach, class_="chart-mark"))
        before = end
    return "".join(drawn)


# ------------------------------------------------------------------------------------------------------ sparkline


def sparkline(key: str, name: str, values: Values) -> Chart:
    """A line as high as a word, for a row of a table: what it says stands in its description, and the row has the
    exact value beside it."""
    said = summary(values)
    names = element("title", escape(name), id=f"{key}-title") + element("desc", escape(said), id=f"{key}-desc")
    numbers = [Fraction(0), *(Fraction(value) for value in values if value is not None)]
    low, high = min(numbers), max(numbers)
    scale = Scale(low, high if high > low else low + 1, 210, 30)
    drawn = line_of(Places(2, len(values), right=98), scale, values, 0)
    return Chart(
        element(
            "svg",
            names + drawn,
            viewBox="0 0 100 24",
            role="img",
            aria_labelledby=f"{key}-title {key}-desc",
            class_="chart-spark",
        )
    )
