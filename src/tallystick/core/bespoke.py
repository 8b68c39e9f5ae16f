"""Bespoke terms: all that single customers have agreed to, with who answers for it and until when; held against what is
approved (docs/decisions/0456-bespoke-terms.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import CurrencyCode, Id, Name, Value, require_not_negative

Told = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
MONTH_DAYS = 31  # the longest: what is approved for three months is so for any three


class BespokeKind(StrEnum):
    """What can be bespoke."""

    PLAN = "PLAN"  # a plan of one account's own
    DISCOUNT = "DISCOUNT"
    CONTRACT = "CONTRACT"
    COMMITMENT = "COMMITMENT"


class Concern(StrEnum):
    """What is to be looked at about a bespoke term."""

    NO_OWNER = "NO_OWNER"  # nobody answers for it
    REVIEW_DUE = "REVIEW_DUE"  # its review date has come
    NOT_APPROVED = "NOT_APPROVED"  # no approved template allows it
    RUNS_ON = "RUNS_ON"  # its contract has ended, and what belongs to it goes on
    OUTSIDE = "OUTSIDE"  # it reaches beyond the days of its contract
    REPRICED = "REPRICED"  # prices of the contract's plans were edited since it began
    OPEN_END = "OPEN_END"  # it has no end


DRIFT = frozenset({Concern.RUNS_ON, Concern.OUTSIDE, Concern.REPRICED})


class BespokeNote(Value, frozen=True, kw_only=True):
    """Who answers for a bespoke term, why it is there, what it is worth in a year, and when it is looked at again."""

    kind: ClassVar[str] = "bespokenote"
    filters: ClassVar[tuple[str, ...]] = ("term_id",)

    term_kind: BespokeKind
    term_id: Id
    owner: Name
    reason: Told
    review_date: date
    value: Decimal | None = None
    currency: CurrencyCode | None = None

    def check(self) -> None:
        if (self.value is None) != (self.currency is None):
            raise ValueError("currency: is given with value, and with nothing else")


class ApprovedTerms(Value, frozen=True, kw_only=True):
    """A template of what may be agreed without asking: up to which percentage off, for at most how many months, with
    which least commitment. What is not given is not limited."""

    kind: ClassVar[str] = "approvedterms"
    references: ClassVar[tuple[str, ...]] = ("plan_template_id",)
    filters: ClassVar[tuple[str, ...]] = ("term_kind",)

    name: Name
    term_kind: BespokeKind
    most_percent: Decimal | None = None
    most_months: Annotated[int, msgspec.Meta(ge=1, le=1200)] | None = None
    least_amount: Decimal | None = None
    plan_template_id: Id | None = None

    def check(self) -> None:
        require_not_negative(self.most_percent, "mostPercent")
        require_not_negative(self.least_amount, "leastAmount")


class BespokeTerm(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One bespoke term: whose, of what, from when until when (exclusive), what of it is held against templates, what
    was noted of it, and what is to be looked at."""

    kind: BespokeKind
    id: str
    account_id: str
    account_code: str
    name: str
    start_date: date | None = None
    end_date: date | None = None
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    plan_template_id: str | None = None
    contract_id: str | None = None
    approved_by: str | None = None
    note_id: str | None = None
    owner: str | None = None
    reason: str | None = None
    value: Decimal | None = None
    value_currency: str | None = None
    review_date: date | None = None
    concerns: tuple[Concern, ...] = ()


class BespokeCount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many bespoke terms of a kind there are, and of how many something is to be looked at."""

    kind: BespokeKind
    terms: int
    without_owner: int
    review_due: int
    not_approved: int
    drifting: int


def allows(template: ApprovedTerms, term: BespokeTerm) -> bool:
    """Whether a template allows a term. A term of no end is longer than any number of months."""
    if template.term_kind is not term.kind:
        return False
    if template.most_percent is not None and (term.percent is None or term.percent > template.most_percent):
        return False
    if template.least_amount is not None and (term.amount is None or term.amount < template.least_amount):
        return False
    if template.plan_template_id is not None and term.plan_template_id != template.plan_template_id:
        return False
    if template.most_months is None:
        return True
    if term.start_date is None or term.end_date is None:
        return False
    return (term.end_date - term.start_date).days <= template.most_months * MONTH_DAYS


def judged(
    term: BespokeTerm,
    note: tuple[str, BespokeNote] | None,
    templates: Iterable[ApprovedTerms],
    drift: Iterable[Concern],
    today: date,
) -> BespokeTerm:
    """A term with what was noted of it (id, note), the template that allows it, and what is to be looked at."""
    approved = next((each.name for each in templates if allows(each, term)), None)
    id_, noted = note or (None, None)
    found = msgspec.structs.replace(
        term,
        approved_by=approved,
        note_id=id_,
        owner=noted.owner if noted else None,
        reason=noted.reason if noted else None,
        value=noted.value if noted else None,
        value_currency=noted.currency if noted else None,
        review_date=noted.review_date if noted else None,
    )
    return msgspec.structs.replace(found, concerns=(*_concerns(found, today), *drift))


def _concerns(term: BespokeTerm, today: date) -> Iterator[Concern]:
    if term.owner is None:
        yield Concern.NO_OWNER
    if term.review_date is not None and term.review_date <= today:
        yield Concern.REVIEW_DUE
    if term.approved_by is None:
        yield Concern.NOT_APPROVED
    if term.end_date is None and term.kind is BespokeKind.DISCOUNT:
        yield Concern.OPEN_END


def counted(terms: Iterable[BespokeTerm]) -> tuple[BespokeCount, ...]:
    """How many there are of each kind."""
    every = list(terms)
    return tuple(
        BespokeCount(
            kind=kind,
            terms=len(own),
            without_owner=sum(Concern.NO_OWNER in each.concerns for each in own),
            review_due=sum(Concern.REVIEW_DUE in each.concerns for each in own),
            not_approved=sum(Concern.NOT_APPROVED in each.concerns for each in own),
            drifting=sum(bool(DRIFT & set(each.concerns)) for each in own),
        )
        for kind in BespokeKind
        for own in [[each for each in every if each.kind is kind]]
    )
