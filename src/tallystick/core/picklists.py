"""Pick-lists: names that people choose from. Archived ones stay readable (source: reference 2.9, 3.8)."""

from __future__ import annotations

from typing import ClassVar

from tallystick.core.entity import FieldCode, Name, Value


class CreditReason(Value, frozen=True, kw_only=True):
    """Why a bill was credited."""

    kind: ClassVar[str] = "creditreason"
    filters: ClassVar[tuple[str, ...]] = ("archived",)

    name: Name
    code: FieldCode | None = None
    archived: bool = False


class DebitReason(Value, frozen=True, kw_only=True):
    """Why a bill was debited."""

    kind: ClassVar[str] = "debitreason"
    filters: ClassVar[tuple[str, ...]] = ("archived",)

    name: Name
    code: FieldCode | None = None
    archived: bool = False


class TransactionType(Value, frozen=True, kw_only=True):
    """What a transaction of a balance is."""

    kind: ClassVar[str] = "transactiontype"
    filters: ClassVar[tuple[str, ...]] = ("archived",)

    name: Name
    code: FieldCode | None = None
    archived: bool = False


class BillGroupingKey(Value, frozen=True, kw_only=True):
    """How contracts are billed: an exclusive key gives each contract a bill of its own; contracts that share a key
    that is not exclusive are billed together, apart from the rest of the account."""

    kind: ClassVar[str] = "billgroupingkey"
    filters: ClassVar[tuple[str, ...]] = ("archived",)

    name: Name
    exclusive: bool
    code: FieldCode | None = None
    archived: bool = False
