"""Event mappings: which events count, for which meter, and where each part of the measurement comes from.

An event may be wanted by several mappings and then makes a measurement for each. What a mapping takes of an event is
named by a path (`properties.tokens_input`), a constant, or a calculation over paths
(docs/decisions/0520-usage-events.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import msgspec

from tallystick.core import wire
from tallystick.core.entity import Entity, EntityCode, FieldCode, Id, Name, Value
from tallystick.core.expression import CalculationError, Expression, ExpressionError, Scalar, evaluate, parse
from tallystick.core.expression import references as named_in
from tallystick.core.measurement import category_map
from tallystick.core.meter import Meter
from tallystick.core.usage_event import EventForm, UsageEvent, event_uid, iso_of
from tallystick.errors import Rejection

MAX_TAKEN = 20
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")

Path = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Calculation = Annotated[str, msgspec.Meta(min_length=1, max_length=5000)]


class TimeUnit(StrEnum):
    """What a time that is a number counts since 1970."""

    SECONDS = "SECONDS"
    MILLISECONDS = "MILLISECONDS"
    MICROSECONDS = "MICROSECONDS"
    NANOSECONDS = "NANOSECONDS"


NANOSECONDS = {
    TimeUnit.SECONDS: 1_000_000_000,
    TimeUnit.MILLISECONDS: 1_000_000,
    TimeUnit.MICROSECONDS: 1_000,
    TimeUnit.NANOSECONDS: 1,
}


class Taken(Value, frozen=True, kw_only=True):
    """Where a value comes from: a `path` into the event, a `constant`, or a `calculation` whose names are paths.
    `default` stands in where the event has nothing there."""

    path: Path | None = None
    constant: Any = None
    calculation: Calculation | None = None
    default: Any = None

    def check(self) -> None:
        if sum(each is not None for each in (self.path, self.constant, self.calculation)) != 1:
            raise ValueError("path: give one of path, constant and calculation")
        for name, value in (("constant", self.constant), ("default", self.default)):
            if value is not None and not isinstance(value, str | int | Decimal):
                raise ValueError(f"{name}: must be a text, a number, true or false")
        if self.calculation is not None:
            _require_calculation(self.calculation, "calculation")


Source = Path | Taken  # a text alone is a path


class IdentitySource(Value, frozen=True, kw_only=True):
    """By which identity the account is found (`core.identity`). Its value is a secret unless `sensitive` is false."""

    type: EntityCode
    value: Source
    sensitive: bool = True


class EventMapping(Value, frozen=True, kw_only=True):
    """Events of a form, source and type (`*` at the end stands for anything) for which `when` is true become
    measurements of a meter. With `ignore` they are known not to be usage, and nothing is kept of them.

    Without `ts` the event's own time counts. The code is part of the uids of its measurements, so it never changes.
    """

    kind: ClassVar[str] = "eventmapping"
    references: ClassVar[tuple[str, ...]] = ("meter_id",)

    code: EntityCode
    name: Name
    form: EventForm | None = None
    source: Pattern | None = None
    type: Pattern | None = None
    when: Calculation | None = None
    enabled: bool = True
    ignore: bool = False
    meter_id: Id | None = None
    account: Source | None = None
    identity: IdentitySource | None = None
    ts: Source | None = None
    ts_unit: TimeUnit | None = None
    fields: Annotated[dict[FieldCode, Source], msgspec.Meta(max_length=MAX_TAKEN)] = msgspec.field(default_factory=dict)

    def check(self) -> None:
        if self.when is not None:
            _require_calculation(self.when, "when")
        if self.ignore:
            if self.meter_id or self.account or self.identity or self.fields:
                raise ValueError("ignore: what is ignored has no meter, account, identity or fields")
            return
        if self.meter_id is None:
            raise ValueError("meterId: say the meter, or that the events are to be ignored")
        if (self.account is None) == (self.identity is None):
            raise ValueError("account: give account or identity, one of them")

    def wants(self, event: UsageEvent) -> bool:
        """Whether the event is one of these. A `when` that cannot be computed of it is not true."""
        return (
            self.enabled
            and (self.form is None or self.form is event.form)
            and _fits(self.source, event.source)
            and _fits(self.type, event.type)
            and (self.when is None or _holds(self.when, event.document))
        )


class NothingThere(ValueError):
    """Why a part of a measurement cannot be taken from an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What became of an event: measurements (JSON, each by its mapping), and why others could not be made."""

    members: tuple[bytes, ...] = ()
    faults: tuple[Rejection, ...] = ()
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Mapper:
    """All mappings of an organisation, in the order of their codes, with their meters."""

    mappings: tuple[EventMapping, ...]
    meters: Mapping[str, Meter]  # by id

    @classmethod
    def of(cls, mappings: Iterable[Entity[EventMapping]], meters: Iterable[Entity[Meter]]) -> Mapper:
        """The mapper of these."""
        ordered = sorted((each.value for each in mappings), key=lambda each: each.code)
        return cls(tuple(ordered), {each.id: each.value for each in meters})

    def map(self, event: UsageEvent) -> Mapped:
        """What the event makes; a fault `unmapped_event` where no mapping wants it."""
        wanted = [each for each in self.mappings if each.wants(event)]
        made = [measurement_of(each, self.meters[each.meter_id], event) for each in wanted if each.meter_id is not None]
        if not made:
            if wanted or event.incidental:
                return Mapped(ignored=True)
            told = f"of the type {event.type[:80]!r}" + (f" from {event.source[:80]!r}" if event.source else "")
            reason = f"event: no event mapping wants events {told}; make one, then replay this"
            return Mapped(faults=(Rejection("unmapped_event", reason, "event"),))
        return Mapped(
            members=tuple(each for each in made if isinstance(each, bytes)),
            faults=tuple(each for each in made if isinstance(each, Rejection)),
        )


def measurement_of(mapping: EventMapping, meter: Meter, event: UsageEvent) -> bytes | Rejection:
    """The measurement that a mapping makes of an event, as JSON; a fault `unmapped_field` where a part is missing."""
    maps: dict[str, dict[str, object]] = {}
    declared = {each.code: each.category for each in meter.data_fields}
    place = "ts"
    try:
        measurement: dict[str, object] = {
            "uid": event_uid(event, mapping.code),
            "meter": meter.code,
            "ts": _time(mapping, event),
        }
        place = "account" if mapping.identity is None else "identity"
        if mapping.identity is None:
            assert mapping.account is not None, "a mapping has an account or an identity"
            measurement["account"] = _as_text(take(mapping.account, event.document))
        else:
            value = _as_text(take(mapping.identity.value, event.document))
            measurement["identity"] = {"type": mapping.identity.type, "value": value}
            if not mapping.identity.sensitive:
                measurement["identity"] = {"type": mapping.identity.type, "value": value, "sensitive": False}
        for code, source in mapping.fields.items():
            place = f"fields.{code}"
            category = declared.get(code)
            if category is None:  # the meter has lost the field since
                continue
            found = take(source, event.document)
            taken = _as_number(found) if category.numeric else _as_text(found)
            maps.setdefault(category_map(category), {})[code] = taken
    except NothingThere as fault:
        return Rejection("unmapped_field", f"{place}: {fault} (event mapping {mapping.code!r})", place)
    return wire.encode({**measurement, **maps})


def take(source: Source, document: Mapping[str, Any]) -> object:
    """The value that a source names in an event; NothingThere where there is none."""
    taken = Taken(path=source) if isinstance(source, str) else source
    found: object
    if taken.calculation is not None:
        found, said = _computed(taken.calculation, document), "the calculation gives nothing"
    elif taken.path is not None:
        found, said = at(document, taken.path), f"the event has nothing at {taken.path!r}"
    else:
        return taken.constant
    found = taken.default if found is None else found
    if found is None:
        raise NothingThere(said)
    return found


def at(document: object, path: str) -> object:
    """What is at a path: names with dots between them, numbers for places in arrays. A name may have dots itself
    (`attributes.http.route`); the longest that is there is taken."""
    if isinstance(document, list):
        head, _, rest = path.partition(".")
        place = int(head) if head.isdecimal() and head.isascii() and len(head) < 6 else None
        if place is None or place >= len(document):
            return None
        return document[place] if not rest else at(document[place], rest)
    if not isinstance(document, Mapping):
        return None
    if path in document:
        return document[path]
    cut = len(path)
    while (cut := path.rfind(".", 0, cut)) > 0:
        if path[:cut] in document:
            found = at(document[path[:cut]], path[cut + 1 :])
            if found is not None:
                return found
    return None


def _fits(pattern: str | None, text: str) -> bool:
    if pattern is None:
        return True
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


@lru_cache(maxsize=1024)
def _parsed(calculation: str) -> Expression:
    return parse(calculation)


def _require_calculation(calculation: str, field: str) -> None:
    try:
        _parsed(calculation)
    except ExpressionError as problem:
        raise ValueError(f"{field}: {problem}") from None


def _computed(calculation: str, document: Mapping[str, Any]) -> Scalar:
    tree = _parsed(calculation)
    try:
        return evaluate(tree, {name: _scalar(at(document, name), name) for name in named_in(tree)})
    except CalculationError as problem:
        raise NothingThere(str(problem)) from None


def _holds(calculation: str, document: Mapping[str, Any]) -> bool:
    try:
        return _computed(calculation, document) is True
    except NothingThere:
        return False


def _scalar(value: object, name: str) -> Scalar:
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if value is None or isinstance(value, str | bool | Decimal):
        return value
    raise NothingThere(f"at {name!r} there is an object or an array")


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() and -100 < value.adjusted() < 100 else str(value)
    if isinstance(value, str | int):
        return str(value)
    raise NothingThere("an object or an array is no text")


def _as_number(value: object) -> int | Decimal:
    """A number, or a text that is spelled like one in JSON."""
    if isinstance(value, str) and len(value) <= 100 and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise NothingThere(f"{_as_text(value)[:40]!r} is no number" if not isinstance(value, bool) else "is no number")
    return value


def _time(mapping: EventMapping, event: UsageEvent) -> str:
    found = event.time if mapping.ts is None else take(mapping.ts, event.document)
    if found is None:
        raise NothingThere("the event says no time; name the path of one")
    if mapping.ts_unit is not None and mapping.ts is not None:
        try:
            return iso_of(found, NANOSECONDS[mapping.ts_unit], "ts")
        except ValueError as problem:
            raise NothingThere(str(problem).partition(": ")[2]) from None
    return _as_text(found)
