"""Bills that are alike, written from a mould: the JSON of one with holes where the others differ.

Of two bills that are alike (`core.alike`) nearly all of the text is the same. So it is written once, from a bill that
was rated and written like any other (`core.moulding`), with holes for what differs: the account, its ids, and the
numbers of the usage lines. Then a bill costs its arithmetic (`core.reckoning`) and the filling of the holes; it is
stored as what was filled in. `tests/pipeline/test_moulds.py` holds bills from moulds against those that are rated and
written one by one, byte for byte, and so does every run for the first bill of each mould.

A bill that credit pays for has the same lines, and after them those of the credit: it waits as a `Blank` until what
there is to draw is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Measured, Question
from tallystick.core.bill import digest_of_text, line_id
from tallystick.core.cast import Cast, Owner
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.drawing import Draw, apply_credits
from tallystick.core.entity import used
from tallystick.core.ledger import Opening
from tallystick.core.lines import RatedLine
from tallystick.core.quantity import plain, total
from tallystick.core.reckoning import Reckoned, Reckoning
from tallystick.core.stencil import HOLE, Stencil, filled, in_short
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.core.wire import encode

MOST_SHAPES = 100  # that a mould remembers
ADDED = (Balance.kind, Commitment.kind)  # kinds of entity that only bills with credit use, in their order there


class Piece(msgspec.Struct, frozen=True):
    """A piece of a stencil: what stands for it, and its text."""

    character: str
    text: str


class Listed(msgspec.Struct, frozen=True):
    """A text with a list of bands in it: what is before and after it, the bands, and what is between two of them."""

    before: Piece
    bands: tuple[Piece, ...]
    between: Piece
    after: Piece

    def of(self, bands: Sequence[int]) -> Piece:
        """The text with these bands, and what it is made of."""
        if len(bands) == 1:
            parts = [self.before, self.bands[bands[0]], self.after]
        else:
            inner = [each for band in bands for each in (self.between, self.bands[band])][1:]
            parts = [self.before, *inner, self.after]
        return Piece("".join([each.character for each in parts]), "".join([each.text for each in parts]))


class Line(msgspec.Struct, frozen=True):
    """A line that is the same on each bill, but for its id and number: its key, its item, its working, its amount in
    the currency of the bill."""

    key: str
    item: Piece
    working: Piece
    amount: Decimal
    rated: RatedLine  # of the bill that the mould was made of


class UsageLine(msgspec.Struct, frozen=True):
    """A line of usage: its key, which of the questions it is for, how it is reckoned, its item and its working."""

    key: str
    question: int
    reckoning: Reckoning
    item: Listed
    working: Listed
    rated: RatedLine  # of the bill that the mould was made of


# Which lines a bill has, of all of its mould, and which bands: None for a line that it does not have.
_Shape = tuple[tuple[int, ...] | None, ...]


class _Shaped(msgspec.Struct, frozen=True):
    """What bills of a shape have in common: of what they are made in short, and what is around the holes of the text
    that their digest is of."""

    made_of: str
    around: tuple[str, ...]


class Numbers(NamedTuple):
    """What fills the items and the workings of a bill's lines, and for each line that it has, the line of the mould,
    its id, its numbers where they are reckoned, and its amount in the currency of the bill."""

    shape: _Shape
    items: Sequence[str]
    workings: Sequence[str]
    lines: Sequence[Line | UsageLine]
    ids: Sequence[str]
    reckoned: Sequence[Reckoned | None]
    amounts: Sequence[Decimal]


class Added(NamedTuple):
    """What credit adds to a bill: its lines, their workings, what they use (a text for each kind of `ADDED`), and what
    there was of it. Items, workings and uses begin with a comma where something is before them."""

    items: str
    workings: str
    uses: tuple[str, str]
    openings: str
    amounts: tuple[Decimal, ...]


NOTHING = Added("", "", ("", ""), "[]", ())


class Mould(msgspec.Struct, frozen=True):
    """What bills that are alike have in common. `questions` must be answered for each account.

    The bill as it is stored is `head`, its items, `middle`, its workings, `tail`. `shaped` are the shapes that bills
    have had so far.
    """

    questions: tuple[Question, ...]
    lines: tuple[Line | UsageLine, ...]
    head: Piece
    middle: Piece
    tail: Piece
    between: Piece
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
        return self.finished(owner, rows, self.numbers(owner, rows), NOTHING, terms)

    def numbers(self, owner: Owner, rows: Sequence[tuple[Measured, ...]]) -> Numbers:
        """The lines of a bill, in numbers. Refusal `rounding_forbidden`."""
        id_, account_plan = owner.bill_id, _json(owner.account_plan_id)
        shape: list[tuple[int, ...] | None] = []
        items: list[str] = []
        workings: list[str] = []
        lines: list[Line | UsageLine] = []
        ids: list[str] = []
        every: list[Reckoned | None] = []
        amounts: list[Decimal] = []
        for line in self.lines:
            reckoned = None
            if isinstance(line, UsageLine) and (reckoned := line.reckoning.of(rows[line.question])) is None:
                shape.append(None)
                continue
            own_id = line_id(id_, line.key.replace(HOLE, account_plan))
            lines.append(line)
            if reckoned is None:
                assert isinstance(line, Line), "a line of usage is reckoned"
                items += own_id, str(len(lines))
                workings.append(own_id)
                shape.append(())
                amounts.append(line.amount)
            else:
                items += (own_id, *reckoned.numbers, str(len(lines)), *reckoned.shown)
                workings += (own_id, *reckoned.working)
                shape.append(reckoned.bands)
                amounts.append(reckoned.amount)
            ids.append(own_id)
            every.append(reckoned)
        return Numbers(tuple(shape), items, workings, lines, ids, every, amounts)

    def finished(
        self,
        owner: Owner,
        rows: Sequence[tuple[Measured, ...]],
        numbers: Numbers,
        added: Added,
        terms: Terms | None = None,
    ) -> Cast:
        """The bill of these numbers, with what credit adds."""
        shaped = self.shaped.get(numbers.shape) or self._shaped(numbers.shape)
        amounts = (*numbers.amounts, *added.amounts)
        sum_ = self.pattern.billed(total(amounts))
        shown = owner.bill_id, _json(owner.account_id), _json(owner.code), str(sum_)
        own = {Account.kind: (shown[1], str(owner.version))}
        own[AccountPlan.kind] = _json(owner.account_plan_id), str(owner.account_plan_version)
        items, workings = (*numbers.items, added.items), (*numbers.workings, added.workings)
        digest = digest_of_text(filled(shaped.around, (*shown, *items, *workings)).encode())
        uses = *own[self.owners[0]], *own[self.owners[1]], *added.uses
        answers = [encode(each).decode() for each in rows]
        values = *shown, *items, *self.number, *workings, *uses, *answers, digest, owner.before, added.openings
        short = in_short(shaped.made_of, values)
        keys = self.keys | {"account_id": owner.account_id, "period_key": owner.key, "total": plain(sum_)}
        config, lines = self.pattern.config.value, len(amounts)
        return Cast(owner.bill_id, owner.of, config, keys, lines, short, self.stencil, terms, revisits=owner.revisits)

    def _shaped(self, shape: _Shape) -> _Shaped:
        items, workings = [], []
        for line, bands in zip(self.lines, shape, strict=True):
            if isinstance(line, Line):
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
            tuple(f"{self.calculated}[{lines}{HOLE}]{{{steps}{HOLE}}}".split(HOLE)),
        )
        if len(self.shaped) < MOST_SHAPES:
            self.shaped[shape] = found
        return found


class Blank(msgspec.Struct, frozen=True):
    """A bill from a mould whose credit is still to be drawn. Its terms are plain but for that (`core.alike`)."""

    mould: Mould
    owner: Owner
    rows: tuple[tuple[Measured, ...], ...]
    numbers: Numbers
    terms: Terms

    @property
    def id(self) -> str:
        return self.owner.bill_id

    @property
    def of(self) -> AccountPeriod:
        """What it is the bill of."""
        return self.owner.of

    def drawn(self, openings: Mapping[str, Opening]) -> tuple[Cast, tuple[Draw, ...]]:
        """The bill after its credit is drawn, of which this much is there, by id; and what it draws. Refusals as
        `apply_credits`."""
        lines = [
            _rated(line, id_, reckoned, number)
            for number, (line, id_, reckoned) in enumerate(
                zip(self.numbers.lines, self.numbers.ids, self.numbers.reckoned, strict=True), start=1
            )
        ]
        outcome = apply_credits(self.terms, lines, openings)
        assert [each.item.id for each in outcome.lines[: len(lines)]] == list(self.numbers.ids), (
            "plain credit only adds"
        )
        more = outcome.lines[len(lines) :]
        comma = "," if lines and more else ""
        added = Added(
            comma + ",".join([encode(each.item).decode() for each in more]),
            comma + ",".join([f'"{each.item.id}":{encode(each.working).decode()}' for each in more]),
            _uses(self.terms),
            encode(tuple(openings[each.id] for each in self.terms.credits)).decode(),
            tuple(each.item.converted_subtotal for each in more),
        )
        return self.mould.finished(self.owner, self.rows, self.numbers, added, self.terms), outcome.draws


def _rated(line: Line | UsageLine, id: str, reckoned: Reckoned | None, number: int) -> RatedLine:
    """A line as credit looks at it: without its bands and its working."""
    if reckoned is None:
        item = msgspec.structs.replace(line.rated.item, id=id, sequence_number=number)
        return msgspec.structs.replace(line.rated, item=item)
    quantity, units, subtotal, average, converted = map(Decimal, reckoned.numbers)
    item = msgspec.structs.replace(
        line.rated.item,
        id=id,
        quantity=quantity,
        units=units,
        subtotal=subtotal,
        average_unit_price=average,
        converted_subtotal=converted,
        sequence_number=number,
        usage_per_pricing_band=None,
    )
    return RatedLine(item=item, working=(), exact=reckoned.exact)


def _uses(terms: Terms) -> tuple[str, str]:
    """The versions of credit that a bill depends on, by kind: see `ADDED`."""
    found = sorted(used(*(each.entity for each in terms.credits)))
    first, second = ("".join([f",{encode(each).decode()}" for each in found if each.kind == kind]) for kind in ADDED)
    return first, second


def _json(text: str) -> str:
    return encode(text).decode()
