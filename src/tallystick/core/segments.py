"""Segments of customers: what tells the account of a bill apart from others."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from tallystick.core.entity import CustomFields
from tallystick.core.quantity import plain
from tallystick.core.terms import Terms

NONE = "(none)"
CUSTOM = "customFields."


def segment_of(by: str, terms: Terms) -> str:
    """The value that the account of a bill has of what customers are told apart by: "plan", "product",
    "billingFrequency" or "customFields.NAME". Several plans are named together."""
    if by == "plan":
        return _named(each.plan.plan.value.code for each in terms.account_plans)
    if by == "product":
        return _named(each.plan.product.value.code for each in terms.account_plans)
    if by == "billingFrequency":
        return terms.of.frequency.value
    assert by.startswith(CUSTOM), "what customers are told apart by was checked when it was asked"
    return custom_value(terms.account.value.custom_fields, by.removeprefix(CUSTOM))


def custom_value(fields: CustomFields | None, name: str) -> str:
    """The value of a custom field as text."""
    value = (fields or {}).get(name)
    if value is None or value == "":
        return NONE
    return str(value) if isinstance(value, str) else plain(Decimal(value))


def _named(codes: Iterable[str]) -> str:
    return " + ".join(sorted(set(codes))) or NONE
