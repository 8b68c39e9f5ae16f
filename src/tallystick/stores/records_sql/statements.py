"""SQL that the two databases spell differently."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Dialect, Text, TypeDecorator, bindparam
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class TextList(TypeDecorator[Any]):
    """Any number of texts as one parameter, so that no list is too long: an array, on SQLite a JSON array."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        chosen: TypeEngine[Any] = postgresql.ARRAY(Text()) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(chosen)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else msgspec.json.encode(value).decode()


class MembersOf(FunctionElement[str]):
    """`MembersOf(texts)`: the texts of a TextList as a subquery of one column."""

    type = Text()
    inherit_cache = True
    name = "members_of"


@compiles(MembersOf, "sqlite")
def _members_sqlite(element: MembersOf, compiler: SQLCompiler, **options: Any) -> str:
    listed = compiler.process(element.clauses, **options)
    return f"(SELECT value FROM json_each({listed}))"  # noqa: S608 - the compiler's own placeholder, no input


@compiles(MembersOf, "postgresql")
def _members_postgresql(element: MembersOf, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT unnest({compiler.process(element.clauses, **options)}))"


def matches(column: ColumnElement[Any], parameter: str, *, single: bool) -> ColumnElement[bool]:
    """A condition: the column has the text (single) or one of the list of texts that the parameter brings."""
    if single:
        return column == bindparam(parameter, type_=Text())
    return column.bool_op("IN")(MembersOf(bindparam(parameter, type_=TextList())))
