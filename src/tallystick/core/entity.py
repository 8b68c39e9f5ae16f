"""What every configured thing has in common: a frozen value on the wire's field names, in a versioned envelope.

A `Value` is what people write (the body of a create or an update). An `Entity` is a value as it is kept: with
its id, its version, and who wrote it when. Numbers in values are exact decimals, instants are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, InvalidOperation
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, TypeVar, get_args, get_type_hints

import msgspec

MAX_NUMBER = Decimal(10) ** 20  # a configured number is below this in size …
MAX_DECIMALS = 30  # … and has at most this many decimal places
MAX_CUSTOM_FIELDS = 100
_SMALLEST_STEP = Decimal((0, (1,), -MAX_DECIMALS))
_NUMBERS = Context(prec=2 * MAX_DECIMALS, traps=[InvalidOperation])  # every number allowed here fits

Id = Annotated[str, msgspec.Meta(min_length=36, max_length=36)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Description = Annotated[str, msgspec.Meta(max_length=200)]
# Letters, digits, _ and $, not starting with a digit: fields, aggregations, pick-lists. (A `$` in Python's patterns
# matches before a last line feed too, so the line feed is shut out by name.)
FieldCode = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=r"^[A-Za-z_$][A-Za-z0-9_$]*$(?!\n)")]
# Printable text with spaces only inside it: every other code.
EntityCode = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=80,
        pattern=r"^[^\x00-\x20\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?$(?!\n)",
    ),
]
CurrencyCode = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
DueDays = Annotated[int, msgspec.Meta(gt=0, le=36_500)]  # a hundred years: every bill has a due date on the calendar
CustomFields = dict[str, Any]  # of text or exact numbers; checked by `Value`


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of every body. A broken rule raises ValueError, which the decoder reports with the field's path."""

    kind: ClassVar[str] = ""  # set by the values that are kept as entities
    # Fields (Python names) with the id or ids of other entities: lists filter by them, and what
    # they name cannot be deleted while they do.
    references: ClassVar[tuple[str, ...]] = ()
    # Further fields that lists filter by.
    filters: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in _numbers(type(self)):
            value = getattr(self, name)
            if isinstance(value, Decimal):
                require_number(value, wire_name(type(self), name))
        self.check()

    def check(self) -> None:
        """The rules that hold inside one value, beyond its types: raise ValueError naming the field."""


V = TypeVar("V", bound=Value)


@cache
def _numbers(of: type[Value]) -> tuple[str, ...]:
    """The fields of a kind of value that may hold a number."""
    hints = get_type_hints(of)
    return tuple(
        name for name in of.__struct_fields__ if hints[name] in {Decimal, Any} or Decimal in get_args(hints[name])
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity(Generic[V]):
    """A value as it is kept. `version` starts at 1 and grows by one with each write."""

    id: str
    version: int
    value: V
    created: datetime
    created_by: str
    modified: datetime
    modified_by: str


Text = tuple[str, int, str]  # an entity as it is written: its id, its version, and the JSON of its value


class Used(msgspec.Struct, frozen=True, gc=False, order=True, cache_hash=True):
    """One entity version that a calculation used, so that it can be read again for a replay."""

    kind: str
    id: str
    version: int


def used(*entities: Entity[Any] | None) -> frozenset[Used]:
    """The versions that these entities have; those that are absent are left out."""
    return frozenset(Used(each.value.kind, each.id, each.version) for each in entities if each)


def is_sealed(field: str) -> bool:
    """Whether a field, by its name on the wire, holds a sealed secret: it is kept and never shown, nor what it was."""
    return field.startswith("sealed") and field[6:7].isupper()


def wire_name(of: type[msgspec.Struct], field: str) -> str:
    """The name a field has on the wire: `unit_price` is `unitPrice`."""
    return of.__struct_encode_fields__[of.__struct_fields__.index(field)]


def require_number(value: Decimal, field: str) -> None:
    """Refuse what is no usable number: NaN, infinities, absurd sizes and exponents."""
    # By digits and exponents only: arithmetic here would round to the thread's ambient decimal context first.
    if not value.is_finite() or (value and value.adjusted() >= MAX_NUMBER.adjusted()):
        raise ValueError(f"{field}: must be a finite number below 10^20")
    if value != value.quantize(_SMALLEST_STEP, context=_NUMBERS):
        raise ValueError(f"{field}: at most {MAX_DECIMALS} decimal places")


def require_not_negative(value: Decimal | None, field: str) -> None:
    """Refuse a number below zero; absent is allowed."""
    if value is not None and value < 0:
        raise ValueError(f"{field}: must be 0 or more, got {value:f}")


def require_custom_fields(
    fields: Mapping[str, object] | None, field: str = "customFields", most: int = MAX_CUSTOM_FIELDS
) -> None:
    """Custom fields map names to text or exact numbers; at most 100 of them (source: reference 1.4)."""
    if fields is None:
        return
    if len(fields) > most:
        raise ValueError(f"{field}: at most {most} fields")
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise ValueError(f"{field}.{name}: must be a text or a number")
        if isinstance(value, int | Decimal):
            require_number(Decimal(value), f"{field}.{name}")
