"""What measurements say of money by themselves: the fields of meters in the categories INCOME and COST.

The unit of such a field names its currency; a unit that is no currency code means the currency of the organisation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from tallystick.core.aggregation import Measured, Method, Question
from tallystick.core.entity import Entity
from tallystick.core.meter import Category, Meter
from tallystick.core.period import Period
from tallystick.core.quantity import ZERO, add, multiply, tidy, total
from tallystick.core.terms import Terms
from tallystick.errors import Refusal

_CURRENCY = re.compile(r"[A-Z]{3}")


class MoneyField(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a meter that holds amounts of money."""

    meter_id: str
    product_id: str | None
    code: str
    category: Category
    currency: str

    def question(self, period: Period, up_to: int) -> Question:
        """The sum of the field over a period."""
        return Question(meter_id=self.meter_id, method=Method.SUM, field=self.code, period=period, up_to=up_to)


class Earned(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Exact sums, not rounded to money. None: no meter has such a field."""

    income: Decimal | None = None
    cost: Decimal | None = None


NOTHING = Earned()


def money_fields(meters: Iterable[Entity[Meter]], currency: str) -> tuple[MoneyField, ...]:
    """The fields of these meters that hold money. `currency` is the organisation's."""
    return tuple(
        MoneyField(
            meter_id=each.id,
            product_id=each.value.product_id,
            code=field.code,
            category=field.category,
            currency=field.unit if field.unit and _CURRENCY.fullmatch(field.unit) else currency,
        )
        for each in meters
        for field in each.value.fields
        if field.category in {Category.INCOME, Category.COST}
    )


def fields_of_bill(terms: Terms, fields: Iterable[MoneyField]) -> tuple[MoneyField, ...]:
    """The fields whose sums belong to a bill: of the meters of the products that it sells, and of those without a
    product that one of its prices counts from."""
    products = {each.plan.product.id for each in terms.account_plans}
    priced = {one.meter.id for each in terms.account_plans for price in each.plan.prices for one in price.inputs}
    return tuple(each for each in fields if each.product_id in products or each.meter_id in priced)


def earned(terms: Terms, fields: Iterable[MoneyField], sums: Mapping[MoneyField, Iterable[Measured]]) -> Earned:
    """What a bill's usage says of money, in the currency of the bill. Nothing, where there is no rate to it."""
    found: dict[Category, Decimal] = {}
    for each in fields:
        try:
            rate = terms.exchange(each.currency, terms.currency).rate
        except Refusal:
            return NOTHING
        amount = multiply(total(row.total for row in sums[each]), rate)
        found[each.category] = add(found.get(each.category, ZERO), amount)
    amounts = {category: tidy(amount) for category, amount in found.items()}
    return Earned(income=amounts.get(Category.INCOME), cost=amounts.get(Category.COST))
