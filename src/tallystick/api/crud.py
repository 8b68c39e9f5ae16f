"""Create, retrieve, update, list and delete over HTTP, for any noun of the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from tallystick.api.routing import Call, Envelope, Paged, Route, entity_reply, page_reply
from tallystick.control.desk import Desk, Noun
from tallystick.core.entity import Entity, Value
from tallystick.ports import Found, OrganizationRecords, Where

V = TypeVar("V", bound=Value)
Reply = dict[str, object]

IDS = "Only these ids, comma-joined."
CODES = "Only these codes, comma-joined."
PAGING = {
    "pageSize": "How many rows a page has at most.",
    "nextToken": "The nextToken of the page before.",
}


def request_type(of: type[V], *, required: Mapping[str, object] | None = None) -> type[V]:
    """The body of a create or an update: the value's fields with an optional `version`.

    `required` names fields (Python name to type) that the value has a default for and that the wire wants given.
    """
    fields: list[Any] = [*(required or {}).items(), ("version", int | None, None)]
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


def by_ids(call: Call) -> Where:
    """The filter that every list has."""
    return where_of(call, id=call.query.texts("ids"))


def by_ids_and_codes(call: Call) -> Where:
    """The filter of lists of things with codes."""
    return where_of(call, id=call.query.texts("ids"), code=call.query.texts("codes"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crud(Generic[V]):
    """How one noun looks over HTTP. `show` turns entities into replies, all of a page at once."""

    noun: Noun[V]
    path: str
    tag: str
    where: Callable[[Call], Where] = by_ids
    filters: Mapping[str, str] = field(default_factory=lambda: {"ids": IDS})
    show: Callable[[OrganizationRecords, Sequence[Entity[V]]], list[Reply]] = plain
    read: Callable[[Any], V] | None = None  # from the body to the value, where that is more than leaving out `version`
    body: type | None = None
    page_limit: int = 100

    def routes(self) -> tuple[Route, ...]:
        """The five operations."""
        envelope, one = Envelope(self.noun.of), self.path + "/{id}"
        body = self.body or request_type(self.noun.of)
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

    def _value(self, body: Any) -> V:
        return self.read(body) if self.read is not None else value_of(self.noun.of, body)

    def _one(self, call: Call, entity: Entity[V]) -> Reply:
        return self.show(call.records, (entity,))[0]

    def _create(self, call: Call, body: Any) -> Reply:
        return self._one(call, self.noun.create(desk_of(call), self._value(body)))

    def _retrieve(self, call: Call) -> Reply:
        return self._one(call, self.noun.retrieve(call.records, call.path["id"]))

    def _update(self, call: Call, body: Any) -> Reply:
        return self._one(call, self.noun.update(desk_of(call), call.path["id"], self._value(body), body.version))

    def _delete(self, call: Call) -> Reply:
        return self._one(call, self.noun.delete(desk_of(call), call.path["id"]))

    def _list(self, call: Call) -> Reply:
        found = self.noun.find(call.records, self.where(call), call.query.page(highest=self.page_limit))
        return self.page(call.records, found)


def _sentence(verb: str, label: str) -> str:
    article = "an" if verb.endswith(" a") and label[0] in "aeiou" else None
    return f"{verb[:-1]}{article} {label}" if article else f"{verb} {label}"
