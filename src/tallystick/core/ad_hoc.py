"""Single charges, each on the bill that covers its day, and memos of people on bills (source: reference 2.7, 3.12)."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.core.bill import LineItemType
from tallystick.core.catalog import Product
from tallystick.core.charge import Charge
from tallystick.core.entity import Entity
from tallystick.core.lines import Draft, product_fields
from tallystick.core.memo import signed_amount
from tallystick.core.period import Period
from tallystick.core.quantity import ONE, multiply, tidy
from tallystick.core.terms import Terms
from tallystick.core.usage_correction import MemoMark
from tallystick.core.working_agreed import Agreed, Granted


def charge_drafts(terms: Terms) -> Iterator[Draft]:
    """The lines of the charges that were placed on this bill, in order of day, then code."""

    def order(each: Entity[Charge]) -> tuple[str, str, str]:
        return each.value.billed_on(terms.zone).isoformat(), each.value.code, each.id

    for charge in sorted(terms.agreements.charges, key=order):
        yield _draft(terms, charge) if charge.value.memo is None else _memo_draft(terms, charge, charge.value.memo)


def accounting_product(terms: Terms, charge: Charge) -> Entity[Product] | None:
    """The charge's own, else that of the fees of its balance."""
    balance = terms.agreements.balances.get(charge.entity_id or "")
    of_balance = balance.value.fees_accounting_product_id if balance else None
    return terms.agreements.products.get(charge.accounting_product_id or of_balance or "")


def _draft(terms: Terms, charge: Entity[Charge]) -> Draft:
    value = charge.value
    units = ONE if value.units is None else value.units
    if value.amount is None:
        assert value.unit_price is not None, "a charge has an amount, or units and their price"
        exact = tidy(multiply(units, value.unit_price))
    else:
        exact = tidy(value.amount)
    step = Agreed(
        charge=value.code,
        day=value.billed_on(terms.zone),
        units=value.units,
        unit_price=value.unit_price,
        amount=exact,
    )
    return Draft(
        conversion=terms.conversion(value.currency),
        type=LineItemType(value.line_item_type.value),
        description=value.description or value.name,
        service=Period(value.service_period_start_date, value.service_period_end_date),
        exact=exact,
        working=(step,),
        accounting_product=accounting_product(terms, value),
        of=charge.id,
        fields={"charge_id": charge.id, "contract_id": value.contract_id, "balance_id": value.entity_id},
        quantity=tidy(units),
        units=tidy(units),
    )


def _memo_draft(terms: Terms, charge: Entity[Charge], mark: MemoMark) -> Draft:
    """The line for a line of the memo of a correction: credit counts it as it counted the line that it corrects."""
    value = charge.value
    assert value.amount is not None, "a line of a memo has an amount"
    amount = tidy(value.amount)
    return Draft(
        conversion=terms.conversion(value.currency),
        type=LineItemType(value.line_item_type.value),
        description=value.description or value.name,
        service=Period(value.service_period_start_date, value.service_period_end_date),
        exact=amount,
        working=(Granted(given=abs(amount), amount=amount, line=mark.line_item_id),),
        accounting_product=None,
        of=charge.id,
        fields={
            **(mark.named or {}),
            **({"segment": mark.segment} if mark.segment else {}),
            "charge_id": charge.id,
            "referenced_bill_id": mark.bill_id,
            "referenced_line_item_id": mark.line_item_id,
        },
        counts_as=None if mark.counts_as is None else LineItemType(mark.counts_as),
    )


def memo_drafts(terms: Terms) -> Iterator[Draft]:
    """The lines of the memos that people put on this bill, in its currency: credits below zero. Oldest first."""
    conversion = terms.exchange(terms.currency, terms.currency)
    products = terms.agreements.products
    for memo in sorted(terms.agreements.memos, key=lambda each: (each.created.isoformat(), each.id)):
        value = memo.value
        product = products.get(value.product_id)
        amount = tidy(signed_amount(value))
        yield Draft(
            conversion=conversion,
            type=LineItemType(value.line_item_type.value),
            description=value.description,
            service=Period(value.service_period_start_date, value.service_period_end_date),
            exact=amount,
            working=(Granted(given=tidy(value.amount), amount=amount, line=value.referenced_line_item_id),),
            accounting_product=products.get(value.accounting_product_id),
            of=memo.id,
            fields={
                **product_fields(product),
                "reason_id": value.credit_reason_id or value.debit_reason_id,
                "referenced_bill_id": value.referenced_bill_id,
                "referenced_line_item_id": value.referenced_line_item_id,
            },
        )
