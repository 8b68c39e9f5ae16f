"""Price lists on pages: rows of bands that people type, and the curve that they make."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallystick.console.chart_drawing import Chart, Frame
from tallystick.console.charts import Curve, Segment, price_steps
from tallystick.console.form import Form
from tallystick.core.bands import price_bands
from tallystick.core.catalog import Pricing, PricingBand
from tallystick.core.quantity import add, multiply
from tallystick.errors import Refusal

PARTS = ("lowerLimit", "fixedPrice", "unitPrice")
SPARE_ROWS = 3  # empty rows below the bands that there are
MOST_ROWS = 200
ZERO = Decimal(0)


class Row(msgspec.Struct, frozen=True):
    """One row of the editor, as texts; `id` is that of the band it was before."""

    lower_limit: str = ""
    fixed_price: str = ""
    unit_price: str = ""
    id: str = ""


def rows_of(bands: Sequence[PricingBand]) -> list[Row]:
    """The bands that there are, and some rows for more."""
    rows = [
        Row(f"{each.lower_limit:f}", f"{each.fixed_price:f}", f"{each.unit_price:f}", each.id or "") for each in bands
    ]
    return rows + [Row() for _ in range(SPARE_ROWS)]


def typed_rows(form: Form, suffix: str = "") -> list[Row]:
    """What was typed, row by row, for the page that shows it again. Of several lists in a form each has a suffix."""
    columns = [form.texts(f"{part}{suffix}") for part in (*PARTS, "bandId")]
    rows = [Row(*cells) for cells in zip(*columns, strict=False)][:MOST_ROWS]
    filled = [row for row in rows if row.lower_limit or row.fixed_price or row.unit_price]
    return filled + [Row() for _ in range(SPARE_ROWS)]


def bands_of(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The bands as the wire has them; an empty price counts as 0, and an empty first limit too.

    Refusal `invalid_request` names the row and what stands there.
    """
    bands: list[dict[str, object]] = []
    filled = [row for row in rows if row.lower_limit or row.fixed_price or row.unit_price]
    for index, row in enumerate(filled):
        texts = (row.lower_limit, row.fixed_price, row.unit_price)
        one = Form({part: (text,) for part, text in zip(PARTS, texts, strict=True)})
        try:
            numbers = {part: one.decimal(part) for part in PARTS}
        except Refusal as problem:
            message = f"pricingBands: band {index + 1}: {problem.message}"
            raise Refusal("invalid_request", message, field="pricingBands") from None
        if numbers["lowerLimit"] is None and index:
            message = f"pricingBands: band {index + 1}: say above how many units it begins"
            raise Refusal("invalid_request", message, field="pricingBands")
        band: dict[str, object] = {part: number if number is not None else ZERO for part, number in numbers.items()}
        bands.append(band | {"id": row.id} if row.id else band)
    return bands


def curve_of(name: str, bands: Sequence[PricingBand], *, cumulative: bool, up_to: Decimal) -> Curve:
    """What quantities up to `up_to` cost, band by band."""
    segments = []
    for index, band in enumerate(bands):
        start = band.lower_limit
        end = min(bands[index + 1].lower_limit, up_to) if index + 1 < len(bands) else up_to
        if start >= end:
            break
        before = price_bands(start, bands, cumulative).subtotal if cumulative and index else ZERO
        units = ZERO if cumulative else start  # of the lower bands, tiers have charged already
        at_start = add(add(before, band.fixed_price), multiply(units, band.unit_price))
        at_end = price_bands(end, bands, cumulative).subtotal
        segments.append(Segment(start=start, end=end, price_at_start=at_start, price_at_end=at_end))
    return Curve(name, tuple(segments))


def span_of(*lists: Sequence[PricingBand]) -> Decimal:
    """How far a chart of these price lists goes: some way into the last band."""
    last = max((bands[-1].lower_limit for bands in lists if bands), default=ZERO)
    return last + last / 2 if last else Decimal(100)


def chart_of(key: str, pricing: Pricing, currency: str) -> Chart | None:
    """The price of a pricing against quantity; None where it has no bands."""
    bands = pricing.pricing_bands
    if not bands:
        return None
    curve = curve_of("Price", bands, cumulative=pricing.cumulative, up_to=span_of(bands))
    frame = Frame(key=key, title="Price against quantity", unit=currency, across="Units")
    return price_steps(frame, [curve], edges=[each.lower_limit for each in bands])


def in_words(pricing: Pricing) -> str:
    """The form of a price in a few words."""
    if pricing.percent is not None:
        return f"{pricing.percent:f}% of what is counted"
    if pricing.package is not None:
        return f"{pricing.package.price:f} for each started {pricing.package.size:f}"
    if pricing.rates is not None:
        return f"{len(pricing.rates)} rates by {', '.join(sorted(pricing.rates[0].dimensions))}"
    bands = pricing.pricing_bands
    if len(bands) == 1:
        fixed = f"{bands[0].fixed_price:f} and " if bands[0].fixed_price else ""
        return f"{fixed}{bands[0].unit_price:f} a unit"
    if not any(each.unit_price for each in bands):
        return f"stairstep, {len(bands)} bands"
    return f"{'tiered' if pricing.cumulative else 'volume'}, {len(bands)} bands"
