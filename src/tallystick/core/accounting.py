"""How an organisation keeps its books: which ledger account stands for what, and up to when they are closed.

An extension of ours (docs/decisions/0500-journal-entries.md). The accounts are those of the ledger that entries are
imported into: only their codes and names are known here.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import Id, Value
from tallystick.core.period import LAST_YEAR

MOST_ACCOUNTS = 1_000  # of products, and of types of transactions
AccountCode = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
AccountName = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]


class Role(StrEnum):
    """What a ledger account is for."""

    RECEIVABLE = "RECEIVABLE"  # what customers owe for their bills
    UNBILLED = "UNBILLED"  # what was served in one month and is billed in a later one
    CASH = "CASH"
    CREDIT_ISSUED = "CREDIT_ISSUED"  # credit that was added to balances, less what was billed for it
    EXCHANGE = "EXCHANGE"  # what goes from one currency into another
    DEFERRED_REVENUE = "DEFERRED_REVENUE"  # what is billed in one month and served in a later one
    PREPAID_CREDIT = "PREPAID_CREDIT"  # commitments and balances: what was paid for and is not consumed yet
    REVENUE = "REVENUE"
    BREAKAGE = "BREAKAGE"  # credit that expired
    DISCOUNTS = "DISCOUNTS"  # stands against revenue
    CREDIT_MEMOS = "CREDIT_MEMOS"  # stands against revenue
    BAD_DEBT = "BAD_DEBT"  # what nobody expects to be paid any more


class LedgerAccount(Value, frozen=True, kw_only=True):
    """An account of the organisation's ledger."""

    code: AccountCode
    name: AccountName


class RevenueAccount(Value, frozen=True, kw_only=True):
    """The account that the revenue of one accounting product is booked on."""

    product_id: Id
    code: AccountCode
    name: AccountName


class FundingAccount(Value, frozen=True, kw_only=True):
    """The account that pays for what is added to balances by transactions of one type: promotions, say."""

    transaction_type_id: Id
    code: AccountCode
    name: AccountName


def _account(code: str, name: str) -> LedgerAccount:
    return LedgerAccount(code=code, name=name)


class AccountingConfig(Value, frozen=True, kw_only=True):
    """The chart of accounts, and how entries are made.

    `closed_through` is the last day of the books that takes no more entries. Credit that expired is booked
    `breakage_after_days` after its end, when its last bills are made. `xero_tax_rate` and `netsuite_subsidiary` stand
    in each row for these systems, which want them.
    """

    kind: ClassVar[str] = "accountingconfig"
    references: ClassVar[tuple[str, ...]] = ("revenue_product_ids", "funding_type_ids")

    receivable: LedgerAccount = _account("1200", "Accounts receivable")
    unbilled: LedgerAccount = _account("1210", "Unbilled receivables")
    cash: LedgerAccount = _account("1000", "Cash")
    credit_issued: LedgerAccount = _account("1250", "Credit issued, not billed")
    exchange: LedgerAccount = _account("1290", "Currency exchange")
    deferred_revenue: LedgerAccount = _account("2400", "Deferred revenue")
    prepaid_credit: LedgerAccount = _account("2410", "Customers' prepaid credit")
    revenue: LedgerAccount = _account("4000", "Revenue")
    breakage: LedgerAccount = _account("4800", "Breakage of expired credit")
    discounts: LedgerAccount = _account("4900", "Discounts")
    credit_memos: LedgerAccount = _account("4910", "Credit memos")
    bad_debt: LedgerAccount = _account("6200", "Bad debts")
    revenue_accounts: tuple[RevenueAccount, ...] = ()
    funding_accounts: tuple[FundingAccount, ...] = ()
    closed_through: date | None = None
    breakage_after_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 5
    xero_tax_rate: Annotated[str, msgspec.Meta(min_length=1, max_length=60)] = "Tax Exempt"
    netsuite_subsidiary: Annotated[str, msgspec.Meta(max_length=120)] | None = None

    @property
    def revenue_product_ids(self) -> tuple[str, ...]:
        """The products that have an account of their own."""
        return tuple(each.product_id for each in self.revenue_accounts)

    @property
    def funding_type_ids(self) -> tuple[str, ...]:
        """The types of transactions that have an account of their own."""
        return tuple(each.transaction_type_id for each in self.funding_accounts)

    def check(self) -> None:
        for name, ids in (("revenueAccounts", self.revenue_product_ids), ("fundingAccounts", self.funding_type_ids)):
            if len(ids) > MOST_ACCOUNTS:
                raise ValueError(f"{name}: at most {MOST_ACCOUNTS}, got {len(ids)}")
            if len(set(ids)) < len(ids):
                raise ValueError(f"{name}: each product or type only once")
        if self.closed_through is not None and self.closed_through.year > LAST_YEAR:
            raise ValueError(f"closedThrough: must be a day of the years up to {LAST_YEAR}")

    def account(self, role: Role, product_id: str | None = None, type_id: str | None = None) -> LedgerAccount:
        """The account for a role; of revenue that of the product, of credit issued that of the type of transaction,
        where they have one of their own."""
        if role is Role.REVENUE:
            for product in self.revenue_accounts:
                if product.product_id == product_id:
                    return LedgerAccount(code=product.code, name=product.name)
        if role is Role.CREDIT_ISSUED:
            for funding in self.funding_accounts:
                if funding.transaction_type_id == type_id:
                    return LedgerAccount(code=funding.code, name=funding.name)
        account: LedgerAccount = getattr(self, role.value.lower())
        return account
