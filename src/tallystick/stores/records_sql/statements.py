"""SQL that the two databases spell differently."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import BindParameter, Boolean, ColumnElement, Dialect, Text, TypeDecorator, bindparam
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


class OneOf(FunctionElement[bool]):
    """`OneOf(column, texts)`: the column equals one of the texts of a TextList."""

    type = Boolean()
    inherit_cache = True
    name = "one_of"


@compiles(OneOf, "sqlite")
def _one_of_sqlite(element: OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = element.clauses
    found, listed = compiler.process(column, **options), compiler.process(texts, **options)
    return f"{found} IN (SELECT value FROM json_each({listed}))"  # noqa: S608 - made of our own names only


@compiles(OneOf, "postgresql")
def _one_of_postgresql(element: OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = element.clauses
    return f"{compiler.process(column, **options)} = ANY({compiler.process(texts, **options)})"


def matches(column: ColumnElement[Any], parameter: str, *, single: bool) -> ColumnElement[bool]:
    """A condition: the column has the text (single) or one of the list of texts that the parameter brings."""
    if single:
        return column == bindparam(parameter, type_=Text())
    return OneOf(column, texts(parameter))


def texts(parameter: str) -> BindParameter[Any]:
    """A parameter that brings a list of texts."""
    return bindparam(parameter, type_=TextList())
