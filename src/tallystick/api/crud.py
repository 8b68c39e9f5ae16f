"""Create, retrieve, update, list and delete over HTTP, for any noun of the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import msgspec

from tallystick.api.routing import Call, Envelope, Paged, Route, entity_reply, page_reply
from tallystick.control.desk import ID, Desk, Noun
from tallystick.core.entity import Entity, Id, Value, wire_name
from tallystick.errors import Refusal
from tallystick.ports import Found, OrganizationRecords, Page, Where

V = TypeVar("V", bound=Value)
Reply = dict[str, object]

IDS = "Only these ids, comma-joined."
CODES = "Only these codes, comma-joined."
PAGING = {
    "pageSize": "How many rows a page has at most.",
    "nextToken": "The nextToken of the page before.",
}


def request_type(of: type[V], *, required: Mapping[str, object] | None = None, parent: str | None = None) -> type[V]:
    """The body of a create or an update: the value's fields with an optional `version`.

    `required` names fields (Python name to type) that the value has a default for and that the wire wants given;
    `parent` the one that the path says, so that the body need not.
    """
    fields: list[Any] = [*(required or {}).items(), ("version", int | None, None)]
    if parent is not None:
        fields.append((parent, Id | None, None))
    made = msgspec.defstruct(
        of.__name__ + "Request",
        fields,
        bases=(of,),
        module=of.__module__,
        namespace={"__doc__": of.__doc__},
        frozen=True,
        kw_only=True,
    )
    assert issubclass(made, of)
    return made


def value_of(of: type[V], body: Any) -> V:
    """The value in a body that was read as `request_type(of)`."""
    return of(**{name: getattr(body, name) for name in of.__struct_fields__})


def desk_of(call: Call) -> Desk:
    """The desk at which a request changes something."""
    return Desk(records=call.records, actor=call.actor, now=call.now)


def plain(_: OrganizationRecords, entities: Sequence[Entity[Any]]) -> list[Reply]:
    """Entities as they are kept."""
    return [entity_reply(entity) for entity in entities]


def where_of(call: Call, **equal: Sequence[str] | str | None) -> Where:
    """A filter from the parts of a query that were given: Python field names to wanted values."""
    given = {name: (value,) if isinstance(value, str) else value for name, value in equal.items() if value is not None}
    return Where(equal=given)


def everything(_: Call) -> None:
    """The rows of a list whose `where` says it all."""


def by_ids(call: Call) -> Where:
    """The filter that every list has."""
    return where_of(call, id=call.query.texts("ids"))


def archived_of(call: Call) -> str | None:
    """The filter of pick-lists, as `where_of` takes it."""
    archived = call.query.flag("archived")
    return None if archived is None else ("true" if archived else "false")


def by_ids_and_codes(call: Call) -> Where:
    """The filter of lists of things with codes."""
    return where_of(call, id=call.query.texts("ids"), code=call.query.texts("codes"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The entity that a noun stands under in its path, such as the balance of a schedule.

    `field` of the value names it; in the path it is `{path}`, and bodies do not say it.
    """

    noun: Noun[Any]
    field: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crud(Generic[V]):
    """How one noun looks over HTTP. `show` turns entities into replies, all of a page at once.

    `keep` gives what else must hold of a row of a list, where `where` cannot say it: pages then may be shorter.
    """

    noun: Noun[V]
    path: str
    tag: str
    where: Callable[[Call], Where] = by_ids
    filters: Mapping[str, str] = field(default_factory=lambda: {"ids": IDS})
    show: Callable[[OrganizationRecords, Sequence[Entity[V]]], list[Reply]] = plain
    read: Callable[[Any], V] | None = None  # from the body to the value, where that is more than leaving out `version`
    compose: Callable[[Call, Any], V] | None = None  # the same, where more than the body is asked for it
    body: type | None = None
    page_limit: int = 100
    keep: Callable[[Call], Callable[[Entity[V]], bool] | None] = everything
    parent: Parent | None = None

    def routes(self) -> tuple[Route, ...]:
        """The five operations."""
        envelope, one = Envelope(self.noun.of), self.path + "/{id}"
        body = self.body or request_type(self.noun.of, parent=self.parent.field if self.parent else None)
        query = {**self.filters, **PAGING}
        verbs: Sequence[tuple[str, str, Callable[..., object], str, str, type | None, object]] = (
            ("POST", self.path, self._create, "Create a", "config:create", body, envelope),
            ("GET", self.path, self._list, "List every", "config:retrieve", None, Paged(envelope)),
            ("GET", one, self._retrieve, "Retrieve a", "config:retrieve", None, envelope),
            ("PUT", one, self._update, "Replace a", "config:update", body, envelope),
            ("DELETE", one, self._delete, "Delete a", "config:delete", None, envelope),
        )
        return tuple(
            Route(
                method=method,
                path=path,
                run=run,
                summary=_sentence(what, self.noun.label),
                tag=self.tag,
                scope=scope,
                body=of,
                reply=reply,
                query=query if run == self._list else {},
            )
            for method, path, run, what, scope, of, reply in verbs
        )

    def page(self, records: OrganizationRecords, found: Found[Entity[V]]) -> Reply:
        """One page of this noun as a reply."""
        return page_reply(self.show(records, found.rows), found.next_token)

    def value(self, call: Call, body: Any) -> V:
        """The value in the body of a request; what it stands under must exist: Refusal `not_found`."""
        if self.compose is not None:
            return self.compose(call, body)
        if self.parent is None:
            return self.read(body) if self.read is not None else value_of(self.noun.of, body)
        parent_id, said = self._parent_id(call), getattr(body, self.parent.field)
        if said is not None and said != parent_id:
            field = wire_name(self.noun.of, self.parent.field)
            raise Refusal("invalid_request", f"{field}: the path says {parent_id}, the body {said}", field=field)
        fields = {name: getattr(body, name) for name in self.noun.of.__struct_fields__}
        return self.noun.of(**{**fields, self.parent.field: parent_id})

    def _parent_id(self, call: Call) -> str:
        assert self.parent is not None, "only what stands under something asks for it"
        return self.parent.noun.retrieve(call.records, call.path[self.parent.path]).id

    def _require_under_parent(self, call: Call) -> None:
        """Refuse an entity that stands under another parent than the path says, as one that is not there."""
        if self.parent is None:
            return
        found = call.records.get(self.noun.of, call.path["id"]) if ID.fullmatch(call.path["id"]) else None
        if found is None or getattr(found.value, self.parent.field) != self._parent_id(call):
            what = f"there is no {self.noun.label} {call.path['id'][:40]!r} of this {self.parent.noun.label}"
            raise Refusal("not_found", f"id: {what}", field="id")

    def _one(self, call: Call, entity: Entity[V]) -> Reply:
        return self.show(call.records, (entity,))[0]

    def _create(self, call: Call, body: Any) -> Reply:
        return self._one(call, self.noun.create(desk_of(call), self.value(call, body)))

    def _retrieve(self, call: Call) -> Reply:
        self._require_under_parent(call)
        return self._one(call, self.noun.retrieve(call.records, call.path["id"]))

    def _update(self, call: Call, body: Any) -> Reply:
        self._require_under_parent(call)
        value = self.value(call, body)
        return self._one(call, self.noun.update(desk_of(call), call.path["id"], value, body.version))

    def _delete(self, call: Call) -> Reply:
        self._require_under_parent(call)
        return self._one(call, self.noun.delete(desk_of(call), call.path["id"]))

    def _list(self, call: Call) -> Reply:
        where, page = self.where(call), call.query.page(highest=self.page_limit)
        if self.parent is not None:
            where = replace(where, equal={**(where.equal or {}), self.parent.field: (self._parent_id(call),)})
        keep = self.keep(call)
        found = self.noun.find(call.records, where, page)
        while keep is not None:
            kept = tuple(row for row in found.rows if keep(row))
            if kept or found.next_token is None:  # a page of which nothing is kept is passed over
                found = Found(kept, found.next_token)
                break
            found = self.noun.find(call.records, where, Page(size=page.size, token=found.next_token))
        return self.page(call.records, found)


def _sentence(verb: str, label: str) -> str:
    article = "an" if verb.endswith(" a") and label[0] in "aeiou" else None
    return f"{verb[:-1]}{article} {label}" if article else f"{verb} {label}"
