"""Bills that are alike, written from a mould: the JSON of one with holes where the others differ.

Of two bills that are alike (`core.alike`) nearly all of the text is the same. So it is written once, from a bill that
was rated and written like any other, with holes for what differs: the account, its ids, and the numbers of the usage
lines. Then a bill costs its arithmetic (`core.reckoning`) and the filling of the holes; it is stored as what was filled
in. `tests/pipeline/test_moulds.py` holds bills from moulds against those that are rated and written one by one, byte
for byte, and so does every run for the first bill of each mould.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Measured, Question
from tallystick.core.bill import (
    Answer,
    BandUsage,
    BillRecord,
    LineItem,
    LineItemType,
    calculated_fields,
    digest_of_text,
    document_keys,
    line_id,
)
from tallystick.core.cast import NUMBER, Cast, Owner
from tallystick.core.catalog import PricingBand
from tallystick.core.entity import Used
from tallystick.core.lines import line_key
from tallystick.core.period import Instant
from tallystick.core.quantity import plain, tidy_setting, total
from tallystick.core.reckoning import Reckoning
from tallystick.core.stencil import HOLE, MOST_PIECES, Stencil, character, filled, in_short, stencil_of
from tallystick.core.terms import Terms
from tallystick.core.usage import Window, windows
from tallystick.core.wire import encode
from tallystick.core.working import Converted, Counted, Divided, Priced, PricedBand, Rounded, Working

_ANY: Any = msgspec.Raw(HOLE.encode())
_ID: Any = msgspec.Raw(f'"{HOLE}"'.encode())
_OWN = b"\x03", b"\x04"  # where texts are taken apart: at the lines and the workings, at the bands
_LINES, _WORKINGS = map(msgspec.Raw, _OWN)
_BANDS: Any = _LINES
_ID_KEY = f'"{HOLE}"'
MOST_SHAPES = 100  # that a mould remembers


class _Piece(msgspec.Struct, frozen=True):
    """A piece of a stencil: what stands for it, and its text."""

    character: str
    text: str


class _Listed(msgspec.Struct, frozen=True):
    """A text with a list of bands in it: what is before and after it, the bands, and what is between two of them."""

    before: _Piece
    bands: tuple[_Piece, ...]
    between: _Piece
    after: _Piece

    def of(self, bands: Sequence[int]) -> _Piece:
        """The text with these bands, and what it is made of."""
        if len(bands) == 1:
            parts = [self.before, self.bands[bands[0]], self.after]
        else:
            inner = [each for band in bands for each in (self.between, self.bands[band])][1:]
            parts = [self.before, *inner, self.after]
        return _Piece("".join([each.character for each in parts]), "".join([each.text for each in parts]))


class _Line(msgspec.Struct, frozen=True):
    """A line that is the same on each bill, but for its id and number: its key, its item, its working, its amount in
    the currency of the bill."""

    key: str
    item: _Piece
    working: _Piece
    amount: Decimal


class _UsageLine(msgspec.Struct, frozen=True):
    """A line of usage: its key, which of the questions it is for, how it is reckoned, its item and its working."""

    key: str
    question: int
    reckoning: Reckoning
    item: _Listed
    working: _Listed


# Which lines a bill has, of all of its mould, and which bands: None for a line that it does not have.
_Shape = tuple[tuple[int, ...] | None, ...]


class _Shaped(msgspec.Struct, frozen=True):
    """What bills of a shape have in common: of what they are made in short, and what is around the holes of the text
    that their digest is of."""

    made_of: str
    around: tuple[str, ...]


class Mould(msgspec.Struct, frozen=True):
    """What bills that are alike have in common. `questions` must be answered for each account.

    The bill as it is stored is `head`, its items, `middle`, its workings, `tail`. `shaped` are the shapes that bills
    have had so far.
    """

    questions: tuple[Question, ...]
    lines: tuple[_Line | _UsageLine, ...]
    head: _Piece
    middle: _Piece
    tail: _Piece
    between: _Piece
    calculated: str  # what its digest is of besides lines and workings
    owners: tuple[str, ...]  # the kinds of entity whose id and version have holes, in order
    keys: dict[str, str]
    number: tuple[str, ...]  # what fills the hole for the invoice number, where bills are numbered
    stencil: Stencil
    shaped: dict[_Shape, _Shaped]
    pattern: Terms  # what it was made of: config, currency and rounding are those of all

    def cast(self, owner: Owner, rows: Sequence[tuple[Measured, ...]], terms: Terms | None = None) -> Cast:
        """The bill of one of those that are alike, given the rows in answer to each of the questions; `terms` are its
        own, where they were read. Refusal `rounding_forbidden`."""
        id_, account_plan = owner.bill_id, _json(owner.account_plan_id)
        shape: list[tuple[int, ...] | None] = []
        items: list[str] = []
        workings: list[str] = []
        amounts: list[Decimal] = []
        for line in self.lines:
            if isinstance(line, _Line):
                own_id, amount = line_id(id_, line.key.replace(HOLE, account_plan)), line.amount
                items += own_id, str(len(amounts) + 1)
                workings.append(own_id)
                shape.append(())
            elif (reckoned := line.reckoning.of(rows[line.question])) is None:
                shape.append(None)
                continue
            else:
                own_id, amount = line_id(id_, line.key.replace(HOLE, account_plan)), reckoned.amount
                items += (own_id, *reckoned.numbers, str(len(amounts) + 1), *reckoned.shown)
                workings += (own_id, *reckoned.working)
                shape.append(reckoned.bands)
            amounts.append(amount)
        shaped = self.shaped.get(made := tuple(shape)) or self._shaped(made)
        sum_ = self.pattern.billed(total(amounts))
        shown = id_, _json(owner.account_id), _json(owner.code), str(sum_)
        own = {Account.kind: (shown[1], str(owner.version))}
        own[AccountPlan.kind] = account_plan, str(owner.account_plan_version)
        answers = [encode(each).decode() for each in rows]
        digest = digest_of_text(filled(shaped.around, (*shown, *items, *workings)).encode())
        of_bill = *shown, *items, *self.number, *workings, *own[self.owners[0]], *own[self.owners[1]], *answers, digest
        short = in_short(shaped.made_of, of_bill)
        keys = self.keys | {"account_id": owner.account_id, "period_key": owner.key, "total": plain(sum_)}
        return Cast(id_, owner.of, self.pattern.config.value, keys, len(amounts), short, self.stencil, terms)

    def _shaped(self, shape: _Shape) -> _Shaped:
        items, workings = [], []
        for line, bands in zip(self.lines, shape, strict=True):
            if isinstance(line, _Line):
                items.append(line.item)
                workings.append(line.working)
            elif bands is not None:
                items.append(line.item.of(bands))
                workings.append(line.working.of(bands))
        between = self.between.character
        parts = between.join([each.character for each in items]), between.join([each.character for each in workings])
        lines, steps = (",".join([each.text for each in pieces]) for pieces in (items, workings))
        found = _Shaped(
            f"{self.head.character}{parts[0]}{self.middle.character}{parts[1]}{self.tail.character}",
            tuple(f"{self.calculated}[{lines}]{{{steps}}}".split(HOLE)),
        )
        if len(self.shaped) < MOST_SHAPES:
            self.shaped[shape] = found
        return found


# ------------------------------------------------------------------------------------------------------ making one


class _Pieces:
    """The pieces of a stencil that is being made."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, text: str) -> _Piece:
        """A piece with this text."""
        self.texts.append(text)
        return _Piece(character(len(self.texts) - 1), text)

    def listed(self, text: str, bands: Sequence[str]) -> _Listed:
        """A text that is taken apart where its bands go."""
        before, after = text.split(_OWN[0].decode())
        return _Listed(self.add(f"{before}["), tuple(map(self.add, bands)), self.add(","), self.add(f"]{after}"))


def mould_of(pattern: BillRecord, terms: Terms, questions: Sequence[Question], *, numbered: bool) -> Mould | None:
    """The mould of bills like this one, which was made of these terms and has a line for everything that is charged.

    `numbered` leaves room for an invoice number. None for a bill that has other lines than a mould can write.
    """
    of_windows = {_place(each): each for each in windows(terms, pattern.evidence.up_to)}
    if sum(2 * len(each.price.pricing.value.pricing_bands) + 6 for each in of_windows.values()) > MOST_PIECES // 2:
        return None
    pieces = _Pieces()
    lines = []
    for item in pattern.bill.line_items:
        window = of_windows.pop((item.pricing_id, item.service_period_start_date), None)
        line = _line(pieces, terms, item, pattern.workings[item.id], window, questions)
        if line is None:
            return None
        lines.append(line)
    kinds = tuple(each.kind for each in pattern.evidence.uses if each.kind in {Account.kind, AccountPlan.kind})
    if of_windows or len(kinds) != 2:
        return None
    record = _with_holes(pattern, numbered=numbered)
    head, rest = _text(record).split(_OWN[0].decode())
    middle, tail = rest.split(_OWN[1].decode())
    parts = [pieces.add(each) for each in (f"{head}[", f"]{middle}{{", f"}}{tail}", ",")]
    return Mould(
        questions=tuple(questions),
        lines=tuple(lines),
        head=parts[0],
        middle=parts[1],
        tail=parts[2],
        between=parts[3],
        calculated=_text(calculated_fields(record.bill)),
        owners=kinds,
        keys=document_keys(pattern.bill, pattern.evidence.grouping),
        number=(NUMBER,) if numbered else (),
        stencil=stencil_of(pieces.texts),
        shaped={},
        pattern=terms,
    )


def _line(
    pieces: _Pieces,
    terms: Terms,
    item: LineItem,
    working: Working,
    window: Window | None,
    questions: Sequence[Question],
) -> _Line | _UsageLine | None:
    """A line as pieces with holes; None where there is no mould for such a one."""
    assert item.service_period_start_date is not None, "what is rated has a service period"
    key = line_key(item.line_item_type, _ANY, item.pricing_id or "", item.service_period_start_date)
    if item.line_item_type is LineItemType.STANDING_CHARGE:
        holes = msgspec.structs.replace(item, id=_ID, sequence_number=_ANY)
        steps = f"{_ID_KEY}:{_text(working)}"
        return _Line(key, pieces.add(_text(holes)), pieces.add(steps), item.converted_subtotal)
    open_steps = _steps(working)
    if window is None or open_steps is None or item.line_item_type is not LineItemType.USAGE:
        return None
    holes = msgspec.structs.replace(
        item,
        id=_ID,
        quantity=_ANY,
        units=_ANY,
        subtotal=_ANY,
        average_unit_price=_ANY,
        converted_subtotal=_ANY,
        sequence_number=_ANY,
        usage_per_pricing_band=_BANDS,
    )
    (asked,) = window.now.questions
    price = window.price.pricing.value
    bands = price.pricing_bands
    return _UsageLine(
        key,
        questions.index(asked),
        Reckoning(asked, window.price.aggregation.value, price, terms.conversion(item.currency)),
        pieces.listed(_text(holes), [_shown(each) for each in bands]),
        pieces.listed(f"{_ID_KEY}:{_text(open_steps)}", [_step(each) for each in bands]),
    )


def _steps(working: Working) -> list[Any] | None:
    """The steps of a line of usage with holes; None where there are others."""
    if tuple(map(type, working)) not in _WORKINGS_OF_USAGE:
        return None
    return [msgspec.structs.replace(each, **_STEPS[type(each)]) for each in working]


# The steps of plain usage and their holes, in the order of `Reckoned.working`.
_STEPS: dict[type[Any], dict[str, Any]] = {
    Counted: dict.fromkeys(("total", "count", "value"), _ANY),
    Divided: dict.fromkeys(("value", "units"), _ANY),
    Priced: {"units": _ANY, "bands": _BANDS, "amount": _ANY},
    Rounded: dict.fromkeys(("exact", "amount"), _ANY),
    Converted: dict.fromkeys(("exact", "amount"), _ANY),
}
_PLAIN: tuple[type[Any], ...] = (Counted, Divided, Priced, Rounded)
_WORKINGS_OF_USAGE = {_PLAIN, (*_PLAIN, Converted, Rounded)}


def _shown(band: PricingBand) -> str:
    """A band as it is shown on a line."""
    shown = BandUsage(
        pricing_band_id=band.id,
        lower_limit=tidy_setting(band.lower_limit),
        fixed_price=tidy_setting(band.fixed_price),
        unit_price=tidy_setting(band.unit_price),
        band_quantity=_ANY,
        band_units=_ANY,
        unit_subtotal=_ANY,
        band_subtotal=_ANY,
        converted_band_subtotal=_ANY,
        credit_type_id=band.credit_type_id,
    )
    return _text(shown)


def _step(band: PricingBand) -> str:
    """A band as a step of the working."""
    lower, price = tidy_setting(band.lower_limit), tidy_setting(band.unit_price)
    return _text(PricedBand(lower_limit=lower, units=_ANY, unit_price=price, fixed=_ANY, amount=_ANY))


def _with_holes(pattern: BillRecord, *, numbered: bool) -> BillRecord:
    """The bill with holes for its account and its numbers, in this order: id, account, its code, total, lines, its
    number, workings, versions of the account and its plan, answers, digest."""
    replace = msgspec.structs.replace
    lines: Any = _LINES
    bill = replace(pattern.bill, id=_ID, account_id=_ANY, account_code=_ANY, bill_total=_ANY, line_items=lines)
    if numbered:
        bill = replace(bill, sequential_invoice_number=_ANY)
    own = {Account.kind, AccountPlan.kind}
    evidence = replace(
        pattern.evidence,
        uses=tuple(Used(each.kind, _ANY, _ANY) if each.kind in own else each for each in pattern.evidence.uses),
        answers=tuple(Answer(question=each.question, rows=_ANY) for each in pattern.evidence.answers),
        digest=_ID,
    )
    workings: Any = _WORKINGS
    return BillRecord(bill=bill, workings=workings, evidence=evidence)


def _place(window: Window) -> tuple[str | None, Instant | None]:
    return window.price.pricing.id, window.now.piece.window.start


def _text(value: object) -> str:
    """The JSON of a value with holes."""
    return encode(value).decode()


def _json(text: str) -> str:
    return encode(text).decode()
