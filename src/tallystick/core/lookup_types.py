"""Lookup tables: rows by key that formulas read, in revisions of which the published ones hold (reference 2.13)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from tallystick.core.entity import CustomFields, EntityCode, Id, Name, Value, require_custom_fields, require_number
from tallystick.core.period import Instant
from tallystick.core.quantity import plain, tidy

MAX_ROWS = 20_000  # of a revision: every write of its rows keeps them all (docs/decisions/0162-lookup-tables.md)
MAX_ROWS_AT_ONCE = 2_000
MAX_TEXT = 1_000
Row = dict[str, Any]  # field → text or exact number; checked by the revision that the row is of


class FieldType(StrEnum):
    """What the values of a field are."""

    STRING = "STRING"
    NUMBER = "NUMBER"


class RevisionStatus(StrEnum):
    """DRAFT rows can be edited; PUBLISHED ones are in force; an ARCHIVED revision was followed by another, or ended."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    ARCHIVED = "ARCHIVED"


class LookupTable(Value, frozen=True, kw_only=True):
    """A table that formulas name by its code."""

    kind: ClassVar[str] = "lookuptable"

    name: Name
    code: EntityCode
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_custom_fields(self.custom_fields)


class LookupField(Value, frozen=True, kw_only=True):
    """A column."""

    type: FieldType
    name: Name


class LookupTableRevision(Value, frozen=True, kw_only=True):
    """One edition of a table: its columns, and those of them that are the key, in order.

    `published_at` is when it was published, `withdrawn_at` when it was archived without another taking its place. With
    a `start_date` it holds from then on only.
    """

    kind: ClassVar[str] = "lookuptablerevision"
    references: ClassVar[tuple[str, ...]] = ("lookup_table_id",)

    name: Name
    lookup_table_id: Id
    fields: Annotated[tuple[LookupField, ...], msgspec.Meta(min_length=2, max_length=10)]
    keys: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=5)]
    start_date: Instant | None = None
    status: RevisionStatus = RevisionStatus.DRAFT
    published_at: Instant | None = None
    withdrawn_at: Instant | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        names = [field.name for field in self.fields]
        if len(set(names)) < len(names):
            raise ValueError("fields: each name once")
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("keys: each field once")
        for index, key in enumerate(self.keys):
            if key not in names:
                raise ValueError(f"keys[{index}]: {key!r} is none of the fields")
        if len(self.keys) == len(names):
            raise ValueError("keys: at least one field must not be a key")
        require_custom_fields(self.custom_fields)

    def type_of(self, name: str) -> FieldType | None:
        """The type of a field, if there is one of this name."""
        return next((field.type for field in self.fields if field.name == name), None)

    def row(self, given: Mapping[str, object], place: str) -> Row:
        """A row in the order of the fields, its numbers in their canonical form.

        Raises ValueError that names `place` and the field for a key that is missing, an unknown field, and a value of
        another type.
        """
        unknown = [name for name in given if self.type_of(name) is None]
        if unknown:
            known = ", ".join(field.name for field in self.fields)
            raise ValueError(f"{place}.{unknown[0][:80]}: is no field of the revision, which has {known}")
        row = {
            field.name: _value(field, given[field.name], f"{place}.{field.name}")
            for field in self.fields
            if given.get(field.name) is not None
        }
        for key in self.keys:
            if key not in row:
                raise ValueError(f"{place}.{key}: is a key and must be given")
            if len(self.keys) > 1 and "," in str(row[key]):
                raise ValueError(f"{place}.{key}: a key of several fields must have no comma")
        return row

    def key_of(self, row: Mapping[str, Any]) -> str:
        """The key of a row as it is written in paths: its values, joined by commas."""
        return ",".join(key_text(row[key]) for key in self.keys)


class LookupData(Value, frozen=True, kw_only=True):
    """The rows of a revision, in order of their keys."""

    kind: ClassVar[str] = "lookupdata"
    filters: ClassVar[tuple[str, ...]] = ("lookup_table_revision_id",)

    lookup_table_revision_id: Id
    rows: Annotated[tuple[Row, ...], msgspec.Meta(max_length=MAX_ROWS)]


def key_text(value: object) -> str:
    """A value of a key as text: numbers without trailing zeros, so that 1 and 1.0 are one key."""
    return plain(Decimal(value)) if isinstance(value, Decimal | int) else str(value)


def _value(field: LookupField, value: object, place: str) -> str | Decimal:
    if field.type is FieldType.STRING:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
            raise ValueError(f"{place}: must be a text of 1 to {MAX_TEXT} characters")
        return value
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{place}: must be a number")
    number = Decimal(value)
    require_number(number, place)
    return tidy(number)
