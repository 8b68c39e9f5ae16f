"""`tallystick quote`: what a price list asks for a quantity, one JSON line in, one JSON line out.

The numbers are read and written exactly. The calculation is the one that bills use (core.bands, core.money).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tallystick.core.bands import BandShare, price_bands
from tallystick.core.catalog import PricingBand, require_rising
from tallystick.core.entity import Value, require_not_negative
from tallystick.core.money import Rounding, RoundingMode, round_money, rounding_for
from tallystick.core.quantity import ZERO, add, plain, subtract
from tallystick.core.wire import decode, encode

_MARK = b"\xef\xbb\xbf"  # a byte order mark, which some editors put at the start of a file


class QuoteCurrency(Value, frozen=True, kw_only=True):
    """How the quote is rounded; what is absent is 2 decimals, HALF_UP."""

    code: str | None = None
    max_decimal_places: int | str | None = None
    rounding_mode: RoundingMode | None = None

    def check(self) -> None:
        self.rounding()

    def rounding(self) -> Rounding:
        """The rounding that the settings ask for; the number of decimals, 0 to 5, may be a text."""
        places = self.max_decimal_places
        if places is not None and str(places) not in {"0", "1", "2", "3", "4", "5"}:
            raise ValueError("maxDecimalPlaces: must be a whole number from 0 to 5")
        return rounding_for(None if places is None else int(places), self.rounding_mode)


class QuoteRequest(Value, frozen=True, kw_only=True):
    """One price list and one quantity in units. `id` is repeated in the answer as it stands."""

    id: msgspec.Raw = msgspec.Raw(b"null")
    pricing_bands: tuple[PricingBand, ...]
    cumulative: bool = False
    minimum_spend: Decimal | None = None
    quantity: Decimal
    currency: QuoteCurrency | None = None

    def check(self) -> None:
        require_rising(self.pricing_bands, "pricingBands")
        require_not_negative(self.minimum_spend, "minimumSpend")


class _Identified(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(b"null")


def quote_line(text: bytes | str) -> bytes:
    """The answer to one JSON line, without a line end: `{"id", "subtotal", "bands"}` or `{"id", "error"}`.

    Without a currency nothing is rounded; with one, the usage is rounded as a line of a bill would be, while the bands
    show what it was before. What a minimum spend adds is a second line of a bill: it is rounded by itself, is part of
    the subtotal and is shown as `minimumSpendAdjustment`. Never raises for bad input.
    """
    try:
        # The JSON decoder leaves the text of what is only passed through, such as the id, unchecked.
        line = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        return b'{"id":null,"error":%b}' % encode(f"the line must be UTF-8 text: {error.reason} at byte {error.start}")
    try:
        return _answer(decode(QuoteRequest, line))
    except (ValueError, RecursionError) as error:
        return b'{"id":%b,"error":%b}' % (_id_of(line), encode(_reason(error)))


def run(lines: Iterable[bytes], write: Callable[[bytes], object]) -> None:
    """Answer each line that is not empty, in order; `write` gets one whole line at a time, with its end."""
    for number, line in enumerate(lines):
        text = (line.removeprefix(_MARK) if number == 0 else line).strip()
        if text:
            write(quote_line(text) + b"\n")


def quote_command(
    file: Annotated[Path | None, typer.Argument(help="JSON lines to price; standard input when absent.")] = None,
) -> None:
    """Price quantities by price lists: reads JSON lines, prints a JSON line for each.

    In: {"id", "pricingBands": [{"lowerLimit", "fixedPrice", "unitPrice"}], "cumulative", "minimumSpend"?, "quantity",
    "currency"?: {"code", "maxDecimalPlaces", "roundingMode"}}. Out: {"id", "subtotal", "bands"} or {"id", "error"}.
    """
    output = sys.stdout.buffer
    if file is None:
        # A program may ask line by line through a pipe and wait for each answer.
        run(sys.stdin.buffer, lambda line: (output.write(line), output.flush()))
        return
    try:
        with file.open("rb") as lines:
            run(lines, output.write)
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}", param_hint="FILE") from None
    output.flush()


def _answer(request: QuoteRequest) -> bytes:
    priced = price_bands(request.quantity, request.pricing_bands, request.cumulative)
    rounding = request.currency.rounding() if request.currency else None
    subtotal = _rounded(priced.subtotal, rounding)
    adjustment = ZERO
    if request.minimum_spend is not None and request.minimum_spend > subtotal:
        adjustment = _rounded(subtract(request.minimum_spend, subtotal), rounding)
    topped_up = ',"minimumSpendAdjustment":' + plain(adjustment) if adjustment else ""
    bands = ",".join(_band(share) for share in priced.bands)
    tail = f',"subtotal":{plain(add(subtotal, adjustment))}{topped_up},"bands":[{bands}]}}'
    return b'{"id":' + bytes(request.id) + tail.encode()


def _band(share: BandShare) -> str:
    return (
        f'{{"lowerLimit":{plain(share.lower_limit)},"fixedPrice":{plain(share.fixed_price)},'
        f'"unitPrice":{plain(share.unit_price)},"bandQuantity":{plain(share.quantity)},'
        f'"bandSubtotal":{plain(share.subtotal)}}}'
    )


def _rounded(amount: Decimal, rounding: Rounding | None) -> Decimal:
    return amount if rounding is None else round_money(amount, rounding)


def _id_of(text: str) -> bytes:
    try:
        return bytes(decode(_Identified, text).id)
    except (ValueError, RecursionError):
        return _id_beside_nan(text)


def _id_beside_nan(text: str) -> bytes:
    """The id of a line that is JSON but for NaN or Infinity, which Python's own reader lets pass; else null."""
    try:
        line = json.loads(text, parse_float=Decimal)
        id_ = line.get("id") if isinstance(line, dict) else None
        return encode(id_) if isinstance(id_, str | int | Decimal) else b"null"
    except (ValueError, RecursionError):
        return b"null"


def _reason(error: Exception) -> str:
    return "the JSON is nested too deeply" if isinstance(error, RecursionError) else str(error)
