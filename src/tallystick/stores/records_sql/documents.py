"""Documents of one organisation: bills, jobs, events, failed measurements. Bodies are kept as they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    bindparam,
    delete,
    or_,
    select,
)

from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, FilledDocument, Found, Kept, Page
from tallystick.stores.records_sql import stencils
from tallystick.stores.records_sql.entities import Run
from tallystick.stores.records_sql.paging import DocumentPlace, read_token, write_token
from tallystick.stores.records_sql.schema import BROAD, DOCUMENT_KINDS, DOCUMENT_TABLES, INTEGER, NARROW
from tallystick.stores.records_sql.statements import matches
from tallystick.stores.records_sql.texts import require_all_storable, require_storable, storable, storable_of

FEW = 50  # values of a narrow key that are looked up one by one
BROADEST = 2
MANY = 100  # texts that documents are asked for by: then it is worth asking first whether there are any


def document(run: Run, organization_id: str, kind: str, id: str) -> Document | None:
    """One stored document."""
    if not storable(id):
        return None
    rows = run(_by_id(kind), {"organization_id": organization_id, "id": id})
    return _documents(run, organization_id, kind, rows)[0] if rows else None


def documents(run: Run, organization_id: str, kind: str, where: DocumentWhere, page: Page) -> Found[Document]:
    """One page of the documents that match, in falling (or rising) order of sort, then of when they were added."""
    assert page.size > 0, "a page has at least one row"
    found = _wanted(organization_id, where, page)
    if found is None:
        return Found(())
    parameters, equal, between = found
    if _asks_much(where) and not run(_any(kind), parameters):
        return Found(())
    listing = _listing(kind, equal, between, bool(page.token), (), _brings_few(where), page.oldest_first)
    rows = run(listing, parameters)
    shown = _documents(run, organization_id, kind, rows[: page.size])
    more = len(rows) > page.size
    return Found(tuple(shown), _place(rows[page.size - 1]) if more else None)


def _asks_much(where: DocumentWhere) -> bool:
    return max(map(len, (where.equal or {}).values()), default=0) >= MANY


def keys_of(
    run: Run, organization_id: str, kind: str, where: DocumentWhere, names: tuple[str, ...], most: int
) -> list[tuple[str | None, ...]]:
    """Some keys of the documents that match, at most `most + 1` of them; no body is read."""
    found = _wanted(organization_id, where, Page(size=most))
    if found is None:
        return []
    parameters, equal, between = found
    many = _asks_much(where)
    if many and not run(_any(kind), parameters):
        return []
    # Very many values are each looked up: to walk the list of all for them takes longer with everything there is.
    few = many and any(name in NARROW and not single for name, single in equal)
    return [tuple(row) for row in run(_listing(kind, equal, between, False, names, few), parameters)]


def kept(run: Run, organization_id: str, kind: str, where: DocumentWhere, names: tuple[str, ...]) -> list[Kept]:
    """The bodies of the documents that match as they are kept, with some of their keys."""
    found = _wanted(organization_id, where, Page(size=0))
    if found is None:
        return []
    parameters, equal, between = found
    if _asks_much(where) and not run(_any(kind), parameters):
        return []
    return stencils.kept(run, organization_id, run(_unordered(kind, equal, between, ("body", *names)), parameters))


_Wanted = tuple[dict[str, Any], tuple[tuple[str, bool], ...], tuple[tuple[str, bool, bool], ...]]


def _wanted(organization_id: str, where: DocumentWhere, page: Page) -> _Wanted | None:
    """The parameters of a listing and the keys that it asks for; None where nothing can match."""
    parameters: dict[str, Any] = {"organization_id": organization_id, "size": page.size + 1}
    if page.token:
        place = read_token(page.token, DocumentPlace)
        parameters |= {"last_sort": place.sort, "last_sequence": place.sequence}
    equal, between = [], []
    for name, wanted in (where.equal or {}).items():
        values = storable_of(wanted)
        if not values:
            return None
        single = len(values) == 1
        parameters[f"equal_{name}"] = values[0] if single else values
        equal.append((name, single))
    for name, (low, high) in (where.between or {}).items():
        if low is not None:
            parameters[f"low_{name}"] = require_storable(low, name)
        if high is not None:
            parameters[f"high_{name}"] = require_storable(high, name)
        between.append((name, low is not None, high is not None))
    return parameters, tuple(equal), tuple(between)


def put_documents(
    connection: Connection, organization_id: str, kind: str, documents: Sequence[Document | FilledDocument]
) -> None:
    """Insert or overwrite documents by id, in one statement that runs once per row.

    Refusal `invalid_request` for a text that cannot be stored.
    """
    if not documents:
        return
    filled = {each.stencil.id: each.stencil for each in documents if isinstance(each, FilledDocument)}
    stencils.keep_stencils(connection, organization_id, filled.values())
    rows = [_row(organization_id, kind, each) for each in documents]
    connection.exec_driver_sql(_put(kind, connection.dialect.name), rows)


def remove_document(connection: Connection, organization_id: str, kind: str, id: str) -> None:
    """Delete one document, if it exists."""
    connection.execute(_remove(kind), {"of_organization": organization_id, "of_id": id})


def remove_documents(connection: Connection, organization_id: str, kind: str, ids: Collection[str]) -> None:
    """Delete documents by id, in one statement that runs once per row."""
    if ids:
        connection.execute(_remove(kind), [{"of_organization": organization_id, "of_id": each} for each in ids])


@cache
def _any(kind: str) -> Select[Any]:
    """Whether the organisation has a document of a kind at all. Most have none of most kinds, which is found out far
    sooner than that none of a thousand ids is there."""
    table = _table(kind)
    return select(table.c.sequence).where(table.c.organization_id == bindparam("organization_id")).limit(1)


@cache
def _by_id(kind: str) -> Select[Any]:
    """One document by its id."""
    table = _table(kind)
    return select(*_columns(table)).where(
        table.c.organization_id == bindparam("organization_id"), table.c.id == bindparam("id")
    )


@cache
def _listing(
    kind: str,
    equal: tuple[tuple[str, bool], ...],
    between: tuple[tuple[str, bool, bool], ...],
    goes_on: bool,
    names: tuple[str, ...] = (),
    few: bool = False,
    rising: bool = False,
) -> Select[Any]:
    """Documents whose keys have the wanted texts and lie in the wanted ranges, from the place of the page on: all of
    them, or the named keys only. `few`: the one key that is asked for brings so few that they can be put in order."""
    table = _table(kind)
    searchable = {"id", "sort", *DOCUMENT_KINDS[kind]}
    read = [table.c[name] for name in names] or _columns(table)
    statement = select(*read).where(table.c.organization_id == bindparam("organization_id"))
    least = min((_breadth(name) for name, single in equal if single), default=BROADEST)
    for name, single in equal:
        assert name in searchable, f"{kind} has no key {name}"
        # A key of wider values is no index to read: SQLite takes them all for alike.
        column = table.c[name].concat("") if single and _breadth(name) > least else table.c[name]
        statement = statement.where(matches(column, f"equal_{name}", single=single))
    for name, has_low, has_high in between:
        assert name in searchable, f"{kind} has no key {name}"
        # Nor is a range, beside a key that brings few: half of all bills may lie in it. (`sort` is in each index.)
        narrowed = name != "sort" and any(_breadth(each) == 0 for each, _ in equal)
        ranged = table.c[name].concat("") if narrowed else table.c[name]
        if has_low:
            statement = statement.where(ranged >= bindparam(f"low_{name}"))
        if has_high:
            statement = statement.where(ranged <= bindparam(f"high_{name}"))
    if goes_on:
        last_sort: BindParameter[str] = bindparam("last_sort")
        last: BindParameter[int] = bindparam("last_sequence", type_=INTEGER)
        # The same as (sort, sequence) < (last_sort, last_sequence), in the form that lets SQLite use a key's index.
        place = table.c.sort
        if rising:
            statement = statement.where(place >= last_sort, or_(place > last_sort, table.c.sequence > last))
        else:
            statement = statement.where(place <= last_sort, or_(place < last_sort, table.c.sequence < last))
    sort: ColumnElement[str] = table.c.sort
    if few:
        # The same order, but of no index: SQLite would walk the whole list for it.
        sort = sort.concat("")
    order = (sort.asc(), table.c.sequence.asc()) if rising else (sort.desc(), table.c.sequence.desc())
    return statement.order_by(*order).limit(bindparam("size", type_=INTEGER))


@cache
def _unordered(
    kind: str, equal: tuple[tuple[str, bool], ...], between: tuple[tuple[str, bool, bool], ...], names: tuple[str, ...]
) -> Select[Any]:
    """The same for all documents that match: to put many bodies in order would take longer than to read them."""
    return _listing(kind, equal, between, False, names).order_by(None).limit(None)


def _breadth(name: str) -> int:
    return 0 if name in NARROW else BROADEST if name in BROAD else 1


def _brings_few(where: DocumentWhere) -> bool:
    """Whether a list asks for ids, each of which brings one document at most, or for a few values of one narrow key
    and for nothing else that is equal."""
    equal = where.equal or {}
    return len(equal.get("id", ())) > 1 or (
        len(equal) == 1 and all(name in NARROW and 1 < len(values) <= FEW for name, values in equal.items())
    )


@cache
def _put(kind: str, dialect: str) -> str:
    """Add a document, or overwrite the one with its id: in the words of the driver, with the values of a row in their
    order (`_row`). SQLAlchemy would look at every value of thousands of rows."""
    names = [f'"{_table(kind).c[name].name}"' for name in _written(kind)]
    places = ", ".join(["%s" if dialect == "postgresql" else "?"] * len(names))
    changed = ", ".join(f"{name} = excluded.{name}" for name in names[2:])
    into = f'"{_table(kind).name}" ({", ".join(names)})'
    # Names of the schema, no input.
    return f"INSERT INTO {into} VALUES ({places}) ON CONFLICT (organization_id, id) DO UPDATE SET {changed}"  # noqa: S608 - see above


def _written(kind: str) -> tuple[str, ...]:
    """The columns of a row that is written, in the order of `_row`."""
    return ("organization_id", "id", "sort", *DOCUMENT_KINDS[kind], "body")


@cache
def _remove(kind: str) -> Delete:
    """Delete one document by its id."""
    table = _table(kind)
    return delete(table).where(
        table.c.organization_id == bindparam("of_organization"), table.c.id == bindparam("of_id")
    )


def _table(kind: str) -> Table:
    assert kind in DOCUMENT_TABLES, f"no kind of document is called {kind}"
    return DOCUMENT_TABLES[kind]


def _columns(table: Table) -> list[Any]:
    """Every column but the organisation, in the order sequence, id, sort, keys, body."""
    return [column for column in table.c if column.name != "organization_id"]


def _row(organization_id: str, kind: str, new: Document | FilledDocument) -> tuple[str | None, ...]:
    keys, names = new.keys, DOCUMENT_KINDS[kind]
    values = list(map(keys.get, names))
    assert len(keys) == len(names) - values.count(None), f"{kind} has no key {sorted(keys.keys() - set(names))}"
    try:
        text = stencils.body_in_short(new) if isinstance(new, FilledDocument) else new.body.decode()
    except UnicodeDecodeError:
        raise Refusal("invalid_request", f"body: the body of {kind} {new.id} is not UTF-8", field="body") from None
    require_all_storable({"id": new.id, "sort": new.sort, **keys, "body": text})
    return (organization_id, new.id, new.sort, *values, text)


def _documents(run: Run, organization_id: str, kind: str, rows: Sequence[Any]) -> list[Document]:
    names = DOCUMENT_KINDS[kind]
    found = []
    bodies = stencils.whole(run, organization_id, [row[-1] for row in rows])
    for (_, id_, sort, *texts, _), body in zip(rows, bodies, strict=True):
        keys = {name: text for name, text in zip(names, texts, strict=True) if text is not None}
        found.append(Document(id=id_, sort=sort, keys=keys, body=body))
    return found


def _place(row: Any) -> str:
    """The token of the page that goes on after a row."""
    return write_token(DocumentPlace(row.sort, row.sequence))
