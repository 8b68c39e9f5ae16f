"""Bills that are alike, written from a mould: the JSON of one with holes where the others differ.

Of two bills that are alike (`core.alike`) nearly all of the text is the same. So it is written once, from a bill that
was rated and written like any other (the pattern), with holes for what differs: the account, its ids, and the numbers
of the usage lines. Then a bill costs its arithmetic and the filling of the holes. The arithmetic is that of rating: the
same functions price bands, round money and divide. `tests/pipeline/test_moulds.py` holds bills from moulds against
those that are rated and written one by one, byte for byte, and so does every run for the first bill of each mould.

A hole is a byte that no JSON text has, as control characters are escaped in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Measured, Question
from tallystick.core.bands import price_bands
from tallystick.core.bill import (
    Answer,
    BandUsage,
    BillRecord,
    LineItem,
    LineItemType,
    Written,
    body_of,
    calculated_fields,
    digest_of_text,
    document_keys,
    line_id,
)
from tallystick.core.catalog import PricingBand
from tallystick.core.conversion import Conversion
from tallystick.core.entity import Used
from tallystick.core.formula import base_value
from tallystick.core.ledger import LedgerEntry
from tallystick.core.lines import line_key
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant, local_day
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.pricing import quantities_of
from tallystick.core.quantity import ONE, ZERO, divide, multiply, plain, tidy, tidy_setting, total
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.core.usage import Window, units_of, windows
from tallystick.core.wire import encode
from tallystick.core.working import Converted, Counted, Divided, Priced, PricedBand, Rounded, Working

HOLE: Any = msgspec.Raw(b"\x01")
_ID: Any = msgspec.Raw(b'"\x01"')
_NUMBER: Any = msgspec.Raw(b"\x02")  # where the invoice number goes, which is only known when the bill is kept


class Booking(msgspec.Struct, frozen=True, gc=False):
    """What a bill draws: its entries in the ledger, of which credits (ids), and what else the ledger had of those when
    they were reckoned (`pipeline.ledger.Book.state`)."""

    entries: tuple[LedgerEntry, ...]
    credit_ids: tuple[str, ...]
    state: str


class Cast(msgspec.Struct, frozen=True, gc=False):
    """A new bill in its final form, from a mould or made whole: its id, what it is the bill of, what it can be looked
    up by, how many lines it has, and its text as it is stored. `terms` are those it was made of, where this process has
    read them; `booking` is there where it draws credit."""

    id: str
    of: AccountPeriod
    config: OrganizationConfig
    keys: dict[str, str]
    lines: int
    text: str
    terms: Terms | None = None
    booking: Booking | None = None

    @property
    def next_day(self) -> date:
        """The day after the last that is billed."""
        return local_day(self.of.period.end, self.of.parameters.timezone or self.config.timezone)

    def stored(self, invoice_number: str | None = None) -> tuple[dict[str, str], bytes]:
        """The keys and the body of the bill as it is stored, with its number where bills are numbered."""
        if invoice_number is None:
            return self.keys, self.text.encode()
        text = self.text.replace("\x02", encode(invoice_number).decode(), 1)
        return self.keys | {"invoice_number": invoice_number}, text.encode()


def made_whole(record: BillRecord, as_written: Written, terms: Terms, booking: Booking | None) -> Cast:
    """A new bill that was rated and written like any other, with room for its number where bills are numbered."""
    keys, bill = document_keys(record.bill, record.evidence.grouping), record.bill
    if terms.config.value.bill_prefix:
        bill = msgspec.structs.replace(bill, sequential_invoice_number=_NUMBER)
    text = body_of(msgspec.structs.replace(record, bill=bill), as_written).decode()
    return Cast(terms.bill_id, terms.of, terms.config.value, keys, len(bill.line_items), text, terms, booking)


class Owner(NamedTuple):
    """Whose a bill is, of those that are alike: everything in it that depends on the account but for its usage."""

    account_id: str
    version: int
    code: str
    account_plan_id: str
    account_plan_version: int
    of: AccountPeriod
    key: str  # that of the period
    bill_id: str


def owner_of(terms: Terms) -> Owner:
    """Whose the bill of these terms is, which have one account plan."""
    account, account_plan = terms.account, terms.account_plans[0].account_plan
    return Owner(
        account.id,
        account.version,
        account.value.code,
        account_plan.id,
        account_plan.version,
        terms.of,
        terms.of.key,
        terms.bill_id,
    )


class _Band(NamedTuple):
    """A band as it is shown on a line, and in the working: texts with holes."""

    shown: str
    step: str


class _Usage(msgspec.Struct, frozen=True):
    """How a line of usage is reckoned: which of the questions it is for, what is priced, and how it becomes money."""

    question: int
    asked: Question
    price: PriceTerms
    conversion: Conversion
    bands: tuple[_Band, ...]


class _Line(msgspec.Struct, frozen=True):
    """A line: its key, its item and its working, as texts with holes. One of usage is reckoned; any other has its
    amount, in the currency of the bill, and holes for nothing but its id and number."""

    key: str
    item: str
    working: str
    amount: Decimal
    usage: _Usage | None = None


class Mould(msgspec.Struct, frozen=True):
    """What bills that are alike have in common. `questions` must be answered for each account."""

    questions: tuple[Question, ...]
    lines: tuple[_Line, ...]
    record: str  # the bill as it is stored
    calculated: str  # what its digest is of besides lines and workings
    owners: tuple[str, ...]  # the kinds of entity whose id and version have holes, in order
    keys: dict[str, str]
    pattern: Terms  # what it was made of: config, currency and rounding are those of all

    def cast(self, owner: Owner, rows: Sequence[tuple[Measured, ...]], terms: Terms | None = None) -> Cast:
        """The bill of one of those that are alike, given the rows in answer to each of the questions; `terms` are its
        own, where they were read. Refusal `rounding_forbidden`."""
        id_, account_plan = owner.bill_id, _json(owner.account_plan_id)
        items: list[str] = []
        workings: list[str] = []
        amounts: list[Decimal] = []
        for line in self.lines:
            number, working, amount = len(items) + 1, line.working, line.amount
            own_id = line_id(id_, line.key % account_plan)
            if line.usage is None:
                item = line.item % (own_id, number)
            else:
                reckoned = _reckoned(line.usage, rows[line.usage.question])
                if reckoned is None:
                    continue
                item = line.item % (own_id, *reckoned.numbers, number, reckoned.bands)
                working, amount = line.working % reckoned.working, reckoned.amount
            items.append(item)
            workings.append(f'"{own_id}":{working}')
            amounts.append(amount)
        lines, working = f"[{','.join(items)}]", f"{{{','.join(workings)}}}"
        shown = id_, _json(owner.account_id), _json(owner.code), self.pattern.billed(total(amounts))
        digest = digest_of_text(f"{self.calculated % shown}{lines}{working}".encode())
        answers = (encode(each).decode() for each in rows)
        text = self.record % (*shown, lines, working, *self._versions(owner), *answers, digest)
        keys = self.keys | {"account_id": owner.account_id, "period_key": owner.key, "total": plain(shown[-1])}
        return Cast(id_, owner.of, self.pattern.config.value, keys, len(items), text, terms)

    def _versions(self, owner: Owner) -> list[object]:
        """Id and version of the account and of its account plan."""
        own: dict[str, tuple[str, int]] = {
            Account.kind: (owner.account_id, owner.version),
            AccountPlan.kind: (owner.account_plan_id, owner.account_plan_version),
        }
        return [part for kind in self.owners for part in (_json(own[kind][0]), own[kind][1])]


# ------------------------------------------------------------------------------------------------------ reckoning


class _Reckoned(NamedTuple):
    """A line of usage in numbers: those of its item, its bands, those of its working, and what it comes to."""

    numbers: tuple[object, ...]
    bands: str
    working: tuple[object, ...]
    amount: Decimal


def _reckoned(usage: _Usage, rows: Sequence[Measured]) -> _Reckoned | None:
    """A line of usage; None where nothing was measured and there is no default value."""
    aggregation, pricing, conversion = usage.price.aggregation.value, usage.price.pricing.value, usage.conversion
    row = rows[0] if rows else None
    value = base_value(aggregation, row, usage.asked)
    if value is None:
        return None
    measured, count = (tidy(row.total), row.count) if row else (ZERO, 0)
    units = units_of(aggregation, value)
    priced = price_bands(units, pricing.pricing_bands, pricing.cumulative)
    exact, same = priced.subtotal, conversion.rate == ONE
    shown, steps = [], []
    for share, quantity in zip(
        priced.bands, quantities_of(priced.bands, value, aggregation.quantity_per_unit), strict=True
    ):
        band, amount = usage.bands[share.band], share.subtotal
        billed = amount if same else tidy(multiply(amount, conversion.rate))
        shown.append(band.shown % (quantity, share.quantity, share.unit_subtotal, amount, billed))
        steps.append(band.step % (share.quantity, share.fixed_subtotal, amount))
    subtotal = conversion.money(exact)
    converted = subtotal if conversion.is_none else conversion.converted(exact)
    average = divide(subtotal, units) if units else ZERO
    working: tuple[object, ...] = (
        measured,
        count,
        value,
        value,
        units,
        units,
        f"[{','.join(steps)}]",
        exact,
        exact,
        subtotal,
    )
    if not conversion.is_none:
        payable = tidy(multiply(exact, conversion.rate))
        working = (*working, exact, payable, payable, converted)
    numbers = (value, units, subtotal, average, converted)
    return _Reckoned(numbers, f"[{','.join(shown)}]", working, converted)


# ------------------------------------------------------------------------------------------------------ making one


def mould_of(pattern: BillRecord, terms: Terms, questions: Sequence[Question], *, numbered: bool) -> Mould | None:
    """The mould of bills like this one, which was made of these terms and has a line for everything that is charged.

    `numbered` leaves room for an invoice number. None for a bill that has other lines than a mould can write.
    """
    of_windows = {_place(each): each for each in windows(terms, pattern.evidence.up_to)}
    lines = []
    for item in pattern.bill.line_items:
        window = of_windows.pop((item.pricing_id, item.service_period_start_date), None)
        line = _line(terms, item, pattern.workings[item.id], window, questions)
        if line is None:
            return None
        lines.append(line)
    kinds = tuple(each.kind for each in pattern.evidence.uses if each.kind in {Account.kind, AccountPlan.kind})
    if of_windows or len(kinds) != 2:
        return None
    record = _with_holes(pattern, numbered=numbered)
    return Mould(
        questions=tuple(questions),
        lines=tuple(lines),
        record=_text(record),
        calculated=_text(calculated_fields(record.bill)),
        owners=kinds,
        keys=document_keys(pattern.bill, pattern.evidence.grouping),
        pattern=terms,
    )


def _line(
    terms: Terms, item: LineItem, working: Working, window: Window | None, questions: Sequence[Question]
) -> _Line | None:
    """A line as texts with holes; None where there is no mould for such a one."""
    assert item.service_period_start_date is not None, "what is rated has a service period"
    key = line_key(item.line_item_type, HOLE, item.pricing_id or "", item.service_period_start_date)
    if item.line_item_type is LineItemType.STANDING_CHARGE:
        holes = msgspec.structs.replace(item, id=_ID, sequence_number=HOLE)
        return _Line(_escaped(key), _text(holes), encode(working).decode(), item.converted_subtotal)
    steps = _steps(working)
    if window is None or steps is None or item.line_item_type is not LineItemType.USAGE:
        return None
    conversion = terms.conversion(item.currency)
    holes = msgspec.structs.replace(
        item,
        id=_ID,
        quantity=HOLE,
        units=HOLE,
        subtotal=HOLE,
        average_unit_price=HOLE,
        converted_subtotal=HOLE,
        sequence_number=HOLE,
        usage_per_pricing_band=HOLE,
    )
    (asked,) = window.now.questions
    bands = tuple(_band(each) for each in window.price.pricing.value.pricing_bands)
    usage = _Usage(questions.index(asked), asked, window.price, conversion, bands)
    return _Line(_escaped(key), _text(holes), _text(steps), ZERO, usage)


def _steps(working: Working) -> list[Any] | None:
    """The steps of a line of usage with holes; None where there are others."""
    if tuple(map(type, working)) not in _WORKINGS:
        return None
    return [msgspec.structs.replace(each, **dict.fromkeys(_STEPS[type(each)], HOLE)) for each in working]


# The steps of plain usage and their holes, in the order of `_Reckoned.working`.
_STEPS: dict[type[Any], tuple[str, ...]] = {
    Counted: ("total", "count", "value"),
    Divided: ("value", "units"),
    Priced: ("units", "bands", "amount"),
    Rounded: ("exact", "amount"),
    Converted: ("exact", "amount"),
}
_PLAIN: tuple[type[Any], ...] = (Counted, Divided, Priced, Rounded)
_WORKINGS = {_PLAIN, (*_PLAIN, Converted, Rounded)}


def _band(band: PricingBand) -> _Band:
    lower, fixed, unit = map(tidy_setting, (band.lower_limit, band.fixed_price, band.unit_price))
    shown = BandUsage(
        pricing_band_id=band.id,
        lower_limit=lower,
        fixed_price=fixed,
        unit_price=unit,
        band_quantity=HOLE,
        band_units=HOLE,
        unit_subtotal=HOLE,
        band_subtotal=HOLE,
        converted_band_subtotal=HOLE,
        credit_type_id=band.credit_type_id,
    )
    step = PricedBand(lower_limit=lower, units=HOLE, unit_price=unit, fixed=HOLE, amount=HOLE)
    return _Band(_text(shown), _text(step))


def _with_holes(pattern: BillRecord, *, numbered: bool) -> BillRecord:
    """The bill with holes for its account and its numbers, in this order: id, account, its code, total, lines,
    workings, versions of the account and its plan, answers, digest."""
    replace = msgspec.structs.replace
    bill = replace(pattern.bill, id=_ID, account_id=HOLE, account_code=HOLE, bill_total=HOLE, line_items=HOLE)
    if numbered:
        bill = replace(bill, sequential_invoice_number=_NUMBER)
    own = {Account.kind, AccountPlan.kind}
    evidence = replace(
        pattern.evidence,
        uses=tuple(Used(each.kind, HOLE, HOLE) if each.kind in own else each for each in pattern.evidence.uses),
        answers=tuple(Answer(question=each.question, rows=HOLE) for each in pattern.evidence.answers),
        digest=_ID,
    )
    return BillRecord(bill=bill, workings=HOLE, evidence=evidence)


def _place(window: Window) -> tuple[str | None, Instant | None]:
    return window.price.pricing.id, window.now.piece.window.start


def _text(value: object) -> str:
    """The JSON of a value with holes, as a text that `%` fills."""
    return _escaped(encode(value).decode())


def _escaped(text: str) -> str:
    return text.replace("%", "%%").replace("\x01", "%s")


def _json(text: str) -> str:
    return encode(text).decode()
