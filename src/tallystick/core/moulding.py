"""Make the mould (`core.mould`) of bills that are alike, from one that was rated and written like any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Question
from tallystick.core.bill import Answer, BandUsage, BillRecord, LineItemType, calculated_fields, document_keys
from tallystick.core.cast import NUMBER
from tallystick.core.catalog import PricingBand
from tallystick.core.entity import Used
from tallystick.core.lines import RatedLine, line_key
from tallystick.core.mould import ADDED, Line, Listed, Mould, Piece, UsageLine
from tallystick.core.period import Instant
from tallystick.core.quantity import tidy_setting
from tallystick.core.reckoning import Reckoning
from tallystick.core.stencil import HOLE, MOST_PIECES, Stencil, character, stencil_of
from tallystick.core.terms import Terms
from tallystick.core.usage import Window, windows
from tallystick.core.wire import encode
from tallystick.core.working import Converted, Counted, Divided, Priced, PricedBand, Rounded, Working
from tallystick.core.working_agreed import PutRight

_ANY: Any = msgspec.Raw(HOLE.encode())
_ID: Any = msgspec.Raw(f'"{HOLE}"'.encode())
_OWN = b"\x03", b"\x04"  # where texts are taken apart: at the lines and the workings, at the bands
_LINES, _WORKINGS = map(msgspec.Raw, _OWN)
_BANDS: Any = _LINES
_ID_KEY = f'"{HOLE}"'
# What is before the id of an account plan, which its version follows.
_ACCOUNT_PLAN = encode(Used(AccountPlan.kind, _ANY, _ANY)).decode().partition(HOLE)[0]


class _Pieces:
    """The pieces of a stencil that is being made."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, text: str) -> Piece:
        """A piece with this text."""
        self.texts.append(text)
        return Piece(character(len(self.texts) - 1), text)

    def listed(self, text: str, bands: Sequence[str]) -> Listed:
        """A text that is taken apart where its bands go."""
        before, after = text.split(_OWN[0].decode())
        return Listed(self.add(f"{before}["), tuple(map(self.add, bands)), self.add(","), self.add(f"]{after}"))


def mould_of(
    pattern: BillRecord, rated: Sequence[RatedLine], terms: Terms, questions: Sequence[Question], *, numbered: bool
) -> Mould | None:
    """The mould of bills like this one, which was made of these terms and has a line for everything that is charged.

    `numbered` leaves room for an invoice number. None for a bill that has other lines than a mould can write.
    """
    of_windows = {_place(each): each for each in windows(terms, pattern.evidence.up_to)}
    if sum(2 * len(each.price.pricing.value.pricing_bands) + 6 for each in of_windows.values()) > MOST_PIECES // 2:
        return None
    pieces = _Pieces()
    lines = []
    for each in rated:
        window = of_windows.pop((each.item.pricing_id, each.item.service_period_start_date), None)
        line = _line(pieces, terms, each, window, questions)
        if line is None:
            return None
        lines.append(line)
    kinds = tuple(each.kind for each in pattern.evidence.uses if each.kind in {Account.kind, AccountPlan.kind})
    if of_windows or len(kinds) != 2:
        return None
    record = _with_holes(pattern, numbered=numbered)
    head, rest = _text(record).split(_OWN[0].decode())
    middle, tail = rest.split(_OWN[1].decode())
    parts = [pieces.add(each) for each in (f"{head}[", f"{HOLE}]{middle}{{", f"{HOLE}}}{tail}", ",")]
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
    rated: RatedLine,
    window: Window | None,
    questions: Sequence[Question],
) -> Line | UsageLine | None:
    """A line as pieces with holes; None where there is no mould for such a one."""
    item, working = rated.item, rated.working
    if any(isinstance(each, PutRight) for each in working):
        return None  # it says which bill charged something else in advance
    assert item.service_period_start_date is not None, "what is rated has a service period"
    key = line_key(item.line_item_type, _ANY, item.pricing_id or "", item.service_period_start_date)
    if item.line_item_type is LineItemType.STANDING_CHARGE:
        holes = msgspec.structs.replace(item, id=_ID, sequence_number=_ANY)
        steps = f"{_ID_KEY}:{_text(working)}"
        return Line(key, pieces.add(_text(holes)), pieces.add(steps), item.converted_subtotal, rated)
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
    return UsageLine(
        key,
        questions.index(asked),
        Reckoning(asked, window.price.aggregation.value, price, terms.conversion(item.currency)),
        pieces.listed(_text(holes), [_shown(each) for each in bands]),
        pieces.listed(f"{_ID_KEY}:{_text(open_steps)}", [_step(each) for each in bands]),
        rated,
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
    number, workings, versions of the account and its plan, what credit uses, answers, digest, the bill before, what
    there is of credit. After the lines, the workings and the versions is room for those of credit."""
    replace = msgspec.structs.replace
    lines: Any = _LINES
    bill = replace(pattern.bill, id=_ID, account_id=_ANY, account_code=_ANY, bill_total=_ANY, line_items=lines)
    if numbered:
        bill = replace(bill, sequential_invoice_number=_ANY)
    evidence = replace(
        pattern.evidence,
        uses=_uses(pattern.evidence.uses),
        answers=tuple(Answer(question=each.question, rows=_ANY) for each in pattern.evidence.answers),
        digest=_ID,
        before=_ANY,
        openings=_ANY,
    )
    workings: Any = _WORKINGS
    return BillRecord(bill=bill, workings=workings, evidence=evidence)


def _uses(uses: Sequence[Used]) -> Any:
    """The versions that a bill uses, in order, with holes for those of the account and its plan, and one for those of
    each kind that credit adds."""
    own = {Account.kind, AccountPlan.kind}
    texts = [_text(Used(each.kind, _ANY, _ANY) if each.kind in own else each) for each in uses]
    for kind in reversed(ADDED):
        before = sum(each.kind < kind for each in uses)
        assert before, "the account comes before what credit adds"
        texts[before - 1] += HOLE
    return msgspec.Raw(f"[{','.join(texts)}]".encode())


def uses_account_plan(stencil: Stencil, short: str, version: Used) -> bool:
    """Whether a bill from a mould, as it is written in short, was made of this version of an account plan."""
    return stencil.values_after(short, _ACCOUNT_PLAN, 2) == [_text(version.id), str(version.version)]


def _place(window: Window) -> tuple[str | None, Instant | None]:
    return window.price.pricing.id, window.now.piece.window.start


def _text(value: object) -> str:
    """The JSON of a value with holes."""
    return encode(value).decode()
