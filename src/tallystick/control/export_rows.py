"""What is configured, billed and booked, as rows: for each operational type its columns and where its rows come from.

A row has the fields that the API shows, under the same names; what is made of several values is JSON in one column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from tallystick.control.export_files import Row
from tallystick.core import wire
from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation
from tallystick.core.bill import Bill, LineItem
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand, Product
from tallystick.core.charge import Charge
from tallystick.core.compound import CompoundAggregation
from tallystick.core.contract import Contract
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Value
from tallystick.core.export_job import ColumnType, ExportColumn
from tallystick.core.export_types import OperationalType
from tallystick.core.ledger import CreditKind, LedgerEntry
from tallystick.core.meter import Meter
from tallystick.core.period import Instant
from tallystick.core.picklists import TransactionType
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page

T = TypeVar("T")

BILL, LEDGER_ENTRY = "bill", "ledgerentry"
PAGE = 500
# Of a line, what may have been divided.
_DIVIDED = frozenset({"quantity", "units", "average_unit_price"})
_TEXT, _WHOLE, _TIME = ColumnType.TEXT, ColumnType.WHOLE, ColumnType.TIME


class BillOfRecord(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a stored bill that is exported: reading it skips all else."""

    bill: Bill


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one type: their columns, and how they are read."""

    columns: tuple[ExportColumn, ...]
    read: Callable[[OrganizationRecords], Iterator[Row]]


def _columns_of(of: type[msgspec.Struct], *, without: Sequence[str] = ()) -> tuple[ExportColumn, ...]:
    hints = get_type_hints(of)
    names = zip(of.__struct_fields__, of.__struct_encode_fields__, strict=True)
    kinds = ((name, shown, _type(hints[name])) for name, shown in names if name not in without)
    return tuple(
        ExportColumn(shown, ColumnType.QUOTIENT if of is LineItem and name in _DIVIDED else kind)
        for name, shown, kind in kinds
    )


def _type(hint: Any) -> ColumnType:
    """The type of a column by that of a field."""
    while get_origin(hint) in {Annotated, Union, UnionType}:
        given = [each for each in get_args(hint) if each is not NoneType]
        if get_origin(hint) is not Annotated and len(given) > 1:
            return ColumnType.JSON
        hint = given[0]
    if not isinstance(hint, type):
        return ColumnType.JSON
    for of, kind in _KINDS:
        if issubclass(hint, of):
            return kind
    return ColumnType.JSON


_KINDS: tuple[tuple[type, ColumnType], ...] = (
    (bool, ColumnType.TRUTH),  # before int, which it is one of
    (int, _WHOLE),
    (str, _TEXT),
    (Decimal, ColumnType.NUMBER),
    (datetime, _TIME),  # before date, which it is one of
    (date, ColumnType.DATE),
)


def _entities(of: type[Value]) -> Rows:
    before = (ExportColumn("id", _TEXT), ExportColumn("version", _WHOLE))
    behind = (
        ExportColumn("dtCreated", _TIME),
        ExportColumn("dtLastModified", _TIME),
        ExportColumn("createdBy", _TEXT),
        ExportColumn("lastModifiedBy", _TEXT),
    )

    def read(records: OrganizationRecords) -> Iterator[Row]:
        for each in records.every(of):
            values = (getattr(each.value, name) for name in of.__struct_fields__)
            written = (Instant.of(each.created), Instant.of(each.modified), each.created_by, each.modified_by)
            yield (each.id, each.version, *values, *written)

    return Rows((*before, *_columns_of(of), *behind), read)


def _documents(records: OrganizationRecords, kind: str) -> Iterator[Document]:
    page: Page | None = Page(size=PAGE)
    while page is not None:
        found = records.documents(kind, DocumentWhere(), page)
        yield from found.rows
        page = Page(size=PAGE, token=found.next_token) if found.next_token else None


def _all_bills(records: OrganizationRecords) -> Iterator[Bill]:
    return (wire.decode(BillOfRecord, each.body).bill for each in _documents(records, BILL))


def _values(of: msgspec.Struct, without: Sequence[str] = ()) -> Row:
    return tuple(getattr(of, name) for name in of.__struct_fields__ if name not in without)


def _bills() -> Rows:
    return Rows(
        _columns_of(Bill, without=("line_items",)),
        lambda records: (_values(bill, ("line_items",)) for bill in _all_bills(records)),
    )


def _line_items() -> Rows:
    of_bill = tuple(ExportColumn(name, _TEXT) for name in ("billId", "accountId", "accountCode"))

    def read(records: OrganizationRecords) -> Iterator[Row]:
        for bill in _all_bills(records):
            for line in bill.line_items:
                yield (bill.id, bill.account_id, bill.account_code, *_values(line))

    return Rows((*of_bill, *_columns_of(LineItem)), read)


def _bands() -> Rows:
    """A row for each band of each pricing; `bandType` says of which of its lists, `number` is the place in it."""
    before = (ExportColumn("pricingId", _TEXT), ExportColumn("bandType", _TEXT), ExportColumn("number", _WHOLE))

    def read(records: OrganizationRecords) -> Iterator[Row]:
        for pricing in records.every(Pricing):
            lists = (("PRICING", pricing.value.pricing_bands), ("OVERAGE", pricing.value.overage_pricing_bands or ()))
            for name, bands in lists:
                for number, band in enumerate(bands, 1):
                    yield (pricing.id, name, number, *_values(band))

    return Rows((*before, *_columns_of(PricingBand)), read)


def _transactions() -> Rows:
    """What was booked on balances; that of commitments is on bills."""

    def read(records: OrganizationRecords) -> Iterator[Row]:
        for each in _documents(records, LEDGER_ENTRY):
            entry = wire.decode(LedgerEntry, each.body)
            if entry.credit_kind is CreditKind.BALANCE:
                yield (entry.credit_id, *_values(entry, ("credit_kind", "credit_id")))

    columns = _columns_of(LedgerEntry, without=("credit_kind", "credit_id"))
    return Rows((ExportColumn("balanceId", _TEXT), *columns), read)


ROWS: dict[OperationalType, Rows] = {
    OperationalType.BILLS: _bills(),
    OperationalType.COMMITMENTS: _entities(Commitment),
    OperationalType.ACCOUNTS: _entities(Account),
    OperationalType.BALANCES: _entities(Balance),
    OperationalType.CONTRACTS: _entities(Contract),
    OperationalType.ACCOUNT_PLANS: _entities(AccountPlan),
    OperationalType.AGGREGATIONS: _entities(Aggregation),
    OperationalType.PLANS: _entities(Plan),
    OperationalType.PRICING: _entities(Pricing),
    OperationalType.PRICING_BANDS: _bands(),
    OperationalType.BILL_LINE_ITEMS: _line_items(),
    OperationalType.METERS: _entities(Meter),
    OperationalType.PRODUCTS: _entities(Product),
    OperationalType.COMPOUND_AGGREGATIONS: _entities(CompoundAggregation),
    OperationalType.PLAN_GROUPS: _entities(PlanGroup),
    OperationalType.PLAN_GROUP_LINKS: _entities(PlanGroupLink),
    OperationalType.PLAN_TEMPLATES: _entities(PlanTemplate),
    OperationalType.BALANCE_TRANSACTIONS: _transactions(),
    OperationalType.TRANSACTION_TYPES: _entities(TransactionType),
    OperationalType.CHARGES: _entities(Charge),
}
