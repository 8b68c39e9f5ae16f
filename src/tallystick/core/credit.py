"""Credit as it meets a bill: what a commitment or a balance pays for, when, and in which order they are drawn.

Source: reference 3.6, 3.7, 3.8; the order among several of a kind is docs/decisions/0120-drawing-credit.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core.account import CreditType
from tallystick.core.bill import LineItem, LineItemType
from tallystick.core.catalog import Product
from tallystick.core.credit_types import Balance, Commitment, CreditLine
from tallystick.core.entity import Entity
from tallystick.core.ledger import CreditKind
from tallystick.core.period import Instant, Period, day_start

_ALL_TYPES = frozenset(each.value for each in CreditLine)
_BUT_AD_HOC = _ALL_TYPES - {CreditLine.AD_HOC.value}
LAST = 1 << 31  # the priority of a balance that has none

_KIND_OF = {CreditType.PREPAYMENT: CreditKind.COMMITMENT, CreditType.BALANCE: CreditKind.BALANCE}


class Credit(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A commitment or balance of an account, with the products that its lines are booked on.

    It pays for what is served in `window`, and a balance that is carried over, up to its limit, in `rollover`.
    """

    entity: Entity[Any]  # of a Commitment or a Balance
    window: Period
    rollover: Period | None = None
    overdraft: bool = False
    products: Mapping[str, Entity[Product]] = {}  # by id: those that it names
    billing: tuple[Entity[Any], ...] = ()  # what its billing plan is made of
    plan_ids: tuple[str, ...] = ()  # the plans whose lines it is for; all where none are named

    @property
    def id(self) -> str:
        return self.entity.id

    @property
    def kind(self) -> CreditKind:
        """Whether it is a commitment or a balance."""
        return CreditKind.COMMITMENT if isinstance(self.entity.value, Commitment) else CreditKind.BALANCE

    @property
    def currency(self) -> str:
        """The currency that it is kept in."""
        currency: str = self.entity.value.currency
        return currency

    @property
    def commitment(self) -> Commitment | None:
        """The commitment, if it is one."""
        value = self.entity.value
        return value if isinstance(value, Commitment) else None

    @property
    def balance(self) -> Balance | None:
        """The balance, if it is one."""
        value = self.entity.value
        return value if isinstance(value, Balance) else None

    @property
    def surcharge(self) -> Decimal | None:
        """The percentage on usage beyond it; None and 0 alike are none."""
        percent: Decimal | None = self.entity.value.overage_surcharge_percent
        return percent or None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.balance.name if self.balance else "Commitment"

    @property
    def edges(self) -> tuple[Instant, ...]:
        """The moments at which it begins or ends to pay."""
        return (*self.window, self.rollover.end) if self.rollover else tuple(self.window)

    def product(self, *ids: str | None) -> Entity[Product] | None:
        """The first of these products that is named, if any."""
        return next((self.products[each] for each in ids if each is not None and each in self.products), None)


def commitment_credit(
    entity: Entity[Commitment], zone: str, products: Mapping[str, Entity[Product]] | None = None
) -> Credit:
    """A commitment as credit: it pays from the start of its first day to that of its end date."""
    value = entity.value
    window = Period(day_start(value.start_date, zone), day_start(value.end_date, zone))
    named = (value.accounting_product_id, value.fees_accounting_product_id, value.drawdowns_accounting_product_id)
    return Credit(entity=entity, window=window, products=_named(products or {}, named))


def balance_credit(
    entity: Entity[Balance], *, allow_negative: bool = False, products: Mapping[str, Entity[Product]] | None = None
) -> Credit:
    """A balance as credit. `allow_negative` is the organisation's setting for all of its balances."""
    value = entity.value
    carried = value.rollover_end_date
    return Credit(
        entity=entity,
        window=Period(value.start_date, value.end_date),
        rollover=Period(value.end_date, carried) if carried is not None else None,
        overdraft=value.allow_overdraft or allow_negative,
        products=_named(products or {}, (value.consumptions_accounting_product_id, value.fees_accounting_product_id)),
    )


def _named(products: Mapping[str, Entity[Product]], ids: Iterable[str | None]) -> dict[str, Entity[Product]]:
    return {id_: products[id_] for id_ in ids if id_ is not None and id_ in products}


def draw_order(
    credits: Iterable[Credit], kinds: Sequence[CreditType], owner_id: str, *, parent_first: bool = False
) -> tuple[Credit, ...]:
    """Credits in the order in which a bill draws them; kinds that are not named are not drawn at all.

    Kind by kind; within a kind those of the account itself (`owner_id`) before its parent's (or, `parent_first`, after
    them), then by priority (lower first, none last), then what ends earliest, then what is oldest.
    """
    places = {_KIND_OF[kind]: place for place, kind in enumerate(kinds)}

    def order(credit: Credit) -> tuple[int, bool, int, Instant, str, str]:
        balance = credit.balance
        priority = LAST if balance is None or balance.priority is None else balance.priority
        end = credit.rollover.end if credit.rollover else credit.window.end
        foreign = (credit.entity.value.account_id != owner_id) is not parent_first
        return places[credit.kind], foreign, priority, end, credit.entity.created.isoformat(), credit.id

    return tuple(sorted((each for each in credits if each.kind in places), key=order))


def cuts_of(credits: Iterable[Credit], period: Period) -> tuple[Instant, ...]:
    """The moments inside a period at which some credit begins or ends to pay, in order."""
    edges = {edge for credit in credits for edge in credit.edges}
    return tuple(sorted(edge for edge in edges if period.start < edge < period.end))


def pays_for(credit: Credit, item: LineItem, type_: LineItemType) -> bool:
    """Whether a credit is for a line that counts as one of a type, whenever that is served: by type, product, contract,
    aggregation, segment."""
    value = credit.entity.value
    if type_ not in _types(credit) or (credit.plan_ids and item.plan_id not in credit.plan_ids):
        return False
    if value.product_ids and item.product_id not in value.product_ids:
        return False
    if value.contract_id is not None and item.contract_id != value.contract_id:
        return False
    balance = credit.balance
    if balance is None or not balance.aggregation_ids:
        return True
    of = item.aggregation_id or item.compound_aggregation_id
    return of in balance.aggregation_ids and _in_segment(balance, item)


def _types(credit: Credit) -> Collection[str]:
    """The line types that it pays for; none named means all there are (AD_HOC lines only from balances)."""
    if named := credit.entity.value.line_item_types:
        return {each.value for each in named}
    return _ALL_TYPES if credit.balance else _BUT_AD_HOC


def _in_segment(balance: Balance, item: LineItem) -> bool:
    if not balance.segments:
        return True
    of = item.segment or {}
    return any(all(of.get(field) == want for field, want in segment.items()) for segment in balance.segments)
