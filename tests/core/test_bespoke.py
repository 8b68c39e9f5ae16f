"""Bespoke terms against approved templates, and what is to be looked at about them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tallystick.core.bespoke import (
    ApprovedTerms,
    BespokeKind,
    BespokeNote,
    BespokeTerm,
    Concern,
    allows,
    counted,
    judged,
)

TODAY = date(2025, 6, 1)
TENTH = {"most_percent": Decimal(10)}


def term(kind: BespokeKind = BespokeKind.DISCOUNT, **given: Any) -> BespokeTerm:
    days = {"start_date": date(2025, 1, 1), "end_date": date(2025, 4, 1)}
    return BespokeTerm(kind=kind, id="t", account_id="a", account_code="acme", name="T", **days | given)


@pytest.mark.parametrize(
    ("limits", "given", "allowed"),
    [
        (TENTH, {"percent": Decimal(10)}, True),
        (TENTH, {"percent": Decimal("10.1")}, False),
        (TENTH, {"amount": Decimal(5)}, False),  # an amount is no percentage
        ({"most_months": 3}, {"percent": Decimal(50)}, True),  # January to March
        ({"most_months": 2}, {"percent": Decimal(50)}, False),
        ({"most_months": 3}, {"end_date": None}, False),
        ({"least_amount": Decimal(100)}, {"amount": Decimal(100)}, True),
        ({"least_amount": Decimal(100)}, {"amount": Decimal(99)}, False),
        ({"term_kind": BespokeKind.CONTRACT}, {}, False),
        ({}, {}, True),
    ],
)
def test_what_a_template_allows(limits: dict[str, Any], given: dict[str, Any], allowed: bool) -> None:
    template = ApprovedTerms(name="Approved", **{"term_kind": BespokeKind.DISCOUNT} | limits)
    assert allows(template, term(**given)) is allowed


def note(review: date) -> tuple[str, BespokeNote]:
    id_ = "0" * 36
    return "n", BespokeNote(
        term_kind=BespokeKind.DISCOUNT, term_id=id_, owner="Ann", reason="First", review_date=review
    )


@pytest.mark.parametrize(
    ("noted", "approved", "given", "concerns"),
    [
        (None, False, {}, ["NO_OWNER", "NOT_APPROVED"]),
        (note(date(2025, 6, 2)), True, {}, []),
        (note(TODAY), True, {}, ["REVIEW_DUE"]),
        (note(date(2026, 1, 1)), True, {"end_date": None}, ["OPEN_END"]),
    ],
)
def test_what_is_to_be_looked_at(
    noted: tuple[str, BespokeNote] | None, approved: bool, given: dict[str, Any], concerns: list[str]
) -> None:
    templates = [ApprovedTerms(name="All", term_kind=BespokeKind.DISCOUNT)] if approved else []
    found = judged(term(**given), noted, templates, (), TODAY)
    assert list(found.concerns) == concerns
    assert found.approved_by == ("All" if approved else None)


def test_terms_are_counted_by_kind() -> None:
    drifting = judged(term(BespokeKind.CONTRACT), None, (), (Concern.RUNS_ON,), TODAY)
    counts = {each.kind: each for each in counted([drifting, judged(term(), note(TODAY), (), (), TODAY)])}
    contract, discount = counts[BespokeKind.CONTRACT], counts[BespokeKind.DISCOUNT]
    assert (contract.terms, contract.without_owner, contract.drifting, contract.review_due) == (1, 1, 1, 0)
    assert (discount.terms, discount.without_owner, discount.drifting, discount.review_due) == (1, 0, 0, 1)
    assert counts[BespokeKind.PLAN].terms == 0


def test_a_value_has_a_currency() -> None:
    with pytest.raises(ValueError, match="currency: is given with value"):
        BespokeNote(
            term_kind=BespokeKind.PLAN,
            term_id="0" * 36,
            owner="Ann",
            reason="First",
            review_date=TODAY,
            value=Decimal(1),
        )
