"""Mediation: from the journal's entries to the rows that usage is asked from.

    normalise   times in UTC, numbers as exact decimals of at most 18 places
    derive      the meter's derived fields, computed once and stored
    attribute   to the account that the entry was accepted for
    project     into the usage store, in journal order, as often as need be: the same rows come out

An entry is read by the version of the meter that it was accepted against, so that a rebuilt store holds what the
first one held, and a meter that was deleted since still has its usage.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import xxhash

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.attributes import ACCOUNT, OF_MEASUREMENTS, as_of, custom_names, custom_values, measurement_values
from tallystick.core.catalog import Product
from tallystick.core.entity import CustomFields, Entity, Value
from tallystick.core.expression import (
    FUNCTIONS,
    CalculationError,
    Expression,
    Function,
    Scalar,
    evaluate,
    parse,
    references,
)
from tallystick.core.ingest_failure import EVENT_TYPE, as_text, failure_event
from tallystick.core.lookup import NO_TABLES, WITH_LOOKUPS, Tables, codes_of, tables_of, with_named_keys
from tallystick.core.measurement import MAPS, Measurement, category_map, maps_of, read_time
from tallystick.core.measurement_reading import JournalEntry, read_measurement, uid_of, unpack, unpack_withdrawal
from tallystick.core.meter import Meter
from tallystick.core.organization import OrganizationCustomFields
from tallystick.core.period import Instant
from tallystick.core.quantity import parse_quantity
from tallystick.errors import Rejection
from tallystick.failpoints import reached
from tallystick.outbox import event_document, put_events
from tallystick.pipeline.ingest.claim import WITHDRAWAL
from tallystick.pipeline.ingest.columns import Forms
from tallystick.pipeline.ingest.rereading import forms_of, read_block
from tallystick.pipeline.ingest.tail import Appended, Tail
from tallystick.pipeline.tables import read_tables
from tallystick.ports import Block, Document, Journal, Records, UsageRow, UsageStore, Withdrawn

BLOCK_ROWS = 100_000


class _Derived(NamedTuple):
    """A derived field, its calculation parsed."""

    code: str
    numeric: bool
    calculation: Expression


class Reader(NamedTuple):
    """How the measurements of one version of a meter are read: (code, name of its map) of the declared fields."""

    meter: Meter
    numbers: tuple[tuple[str, str], ...]
    texts: tuple[tuple[str, str], ...]
    derived: tuple[_Derived, ...]
    tables: tuple[str, ...]  # codes of the lookup tables that the calculations read
    custom: tuple[str, ...]  # custom fields that the calculations refer to, by their whole names
    timed: bool  # whether they refer to times or to the account of a measurement


class CalculationFailure(NamedTuple):
    """A derived field that had no value for a measurement, which is counted all the same with a null in its place."""

    meter_code: str
    field: str
    reason: str
    uid: str
    original: bytes


@dataclass(slots=True)
class Mediated:
    """What journal blocks became: rows for the usage store, and events that tell of failed calculations."""

    rows: list[UsageRow] = field(default_factory=list)
    events: dict[str, list[Document]] = field(default_factory=dict)  # organisation → documents


FindTables = Callable[[str, tuple[str, ...]], Tables]
"""(organisation, codes) → the lookup tables that formulas read"""
FindCustom = Callable[[str, Meter, tuple[str, ...], str, Instant], Mapping[str, Scalar]]
"""(organisation, meter, whole names, account id, when it was received) → the custom fields as they were then."""
Key: TypeAlias = tuple[str, str, int]  # organisation, meter, its version
FindMeter = Callable[[str, str, int], Meter]
"""(organisation, meter id, version) → the meter as it stood."""


def reader_of(meter: Meter) -> Reader:
    """Make a meter ready for reading its measurements."""
    codes = {ACCOUNT, *(each.code for each in meter.data_fields)}
    derived = tuple(
        _Derived(each.code, each.category.numeric, with_named_keys(parse(each.calculation, WITH_LOOKUPS), codes))
        for each in meter.derived_fields
    )
    names = {name for each in derived for name in references(each.calculation)}
    return Reader(
        meter=meter,
        numbers=tuple((each.code, category_map(each.category)) for each in meter.data_fields if each.category.numeric),
        texts=tuple(
            (each.code, category_map(each.category)) for each in meter.data_fields if not each.category.numeric
        ),
        derived=derived,
        tables=tuple(sorted({code for each in meter.derived_fields for code in codes_of(each.calculation)})),
        custom=custom_names(names),
        timed=not names.isdisjoint(OF_MEASUREMENTS),
    )


def mediate(
    parts: Iterable[Appended],
    find_meter: FindMeter,
    find_tables: FindTables = lambda _organization_id, _codes: NO_TABLES,
    find_custom: FindCustom = lambda *_: {},
) -> Mediated:
    """The rows of what was not read as columns, in order. Pure, given the meters, tables and custom fields.

    A measurement sees tables as of its timestamp, by what had been published when it was received, and custom fields as
    of then.
    """
    mediated, readers = Mediated(), dict[Key, tuple[Reader, Tables]]()
    for part in parts:
        failures: dict[tuple[str, str], list[CalculationFailure]] = {}
        for position, packed in part.rest:
            entry = unpack(packed)
            key = (part.organization_id, entry.meter_id, entry.meter_version)
            if key not in readers:
                readers[key] = _ready(key, find_meter, find_tables)
            reader, tables = readers[key]
            measurement = read_measurement(entry.original)
            assert not isinstance(measurement, Rejection), f"position {position} holds an unreadable measurement"
            ts = Instant.of(read_time(measurement.ts))
            functions = tables.functions(ts, part.received) if reader.tables else FUNCTIONS
            more = measurement_values(measurement, ts, part.received) if reader.timed else {}
            if reader.custom:
                more |= find_custom(key[0], reader.meter, reader.custom, entry.account_id, part.received)
            numbers, texts, failed = read_fields(measurement, reader, functions, more)
            mediated.rows.append(_row(part, position, entry, measurement, reader, ts, (numbers, texts)))
            for code, reason in failed:
                made = CalculationFailure(reader.meter.code, code, reason, uid_of(entry, measurement), entry.original)
                failures.setdefault((entry.meter_id, code), []).append(made)
        if failures:
            mediated.events.setdefault(part.organization_id, []).extend(_events(part, failures))
    return mediated


def _ready(key: Key, find_meter: FindMeter, find_tables: FindTables) -> tuple[Reader, Tables]:
    reader = reader_of(find_meter(*key))
    return reader, find_tables(key[0], reader.tables) if reader.tables else NO_TABLES


def _row(
    part: Appended,
    position: int,
    entry: JournalEntry,
    measurement: Measurement,
    reader: Reader,
    ts: Instant,
    values: tuple[dict[str, Decimal], dict[str, str]],
) -> UsageRow:
    numbers, texts = values
    return UsageRow(
        position=position,
        organization_id=part.organization_id,
        meter_id=entry.meter_id,
        account_id=entry.account_id,
        uid=uid_of(entry, measurement),
        ts=ts,
        ets=None if measurement.ets is None else Instant.of(read_time(measurement.ets)),
        received=part.received,
        numbers=numbers,
        texts=texts,
        extra=undeclared(measurement, reader),
    )


def read_fields(
    measurement: Measurement,
    reader: Reader,
    functions: Mapping[str, Function] = FUNCTIONS,
    more: Mapping[str, Scalar] = MappingProxyType({}),
) -> tuple[dict[str, Decimal], dict[str, str], list[tuple[str, str]]]:
    """The declared and derived values of a measurement: numbers, texts, and (code, reason) of what failed. `more` is
    what calculations may refer to besides the fields, which come first."""
    numbers = {code: parse_quantity(getattr(measurement, name)[code]) for code, name in reader.numbers}
    texts: dict[str, str] = {code: getattr(measurement, name)[code] for code, name in reader.texts}
    failed: list[tuple[str, str]] = []
    if reader.derived:
        given: dict[str, Scalar] = {**more, **numbers, **texts}
        for code, numeric, calculation in reader.derived:
            try:
                value = evaluate(calculation, given, functions)
                if value is None:
                    continue
                if numeric:
                    numbers[code] = _number(value)
                else:
                    texts[code] = _text(value)
            except CalculationError as problem:
                failed.append((code, str(problem)))
    return numbers, texts, failed


def undeclared(measurement: Measurement, reader: Reader) -> str | None:
    """What the meter does not declare, as the JSON object of its maps; None where there is nothing."""
    maps = maps_of(measurement)
    if sum([len(values) for values in maps if values]) == len(reader.numbers) + len(reader.texts):
        return None  # every declared field is there, so nothing else is
    declared = {code for code, _name in reader.numbers + reader.texts}
    sent = [(name, values) for name, values in zip(MAPS, maps, strict=True) if values]
    extra = {name: {code: values[code] for code in values if code not in declared} for name, values in sent}
    return wire.encode({name: values for name, values in extra.items() if values}).decode()


def project(
    journal: Journal, usage: UsageStore, records: Records, limit: int = BLOCK_ROWS, tail: Tail | None = None
) -> int:
    """Bring the usage store nearer to the journal's end, by about `limit` rows at most; gives its new mark.

    What `tail` holds is taken from there, all else is read from the journal; the same rows come out. Safe to stop
    anywhere and to run again: events have ids that follow from the journal, and the usage store counts nothing twice.
    """
    after = usage.mark
    find_meter = _meters_of(records)
    parts = tail.take(after, limit) if tail is not None else []
    if not parts:
        parts = list(read_on(journal, find_meter, after, limit))
    if not parts:
        return after
    mediated = _mediated(records, parts)
    for organization_id, documents in mediated.events.items():
        with records.organization(organization_id).transaction() as write:
            put_events(write, documents)
    reached("projection.mediated")
    withdrawn = [each for part in parts for each in part.withdrawn]
    usage.add(mediated.rows, parts[-1].last, [block for part in parts for block in part.blocks], withdrawn)
    return parts[-1].last


def rows_of(records: Records, organization_id: str, received: Instant, entries: Sequence[bytes]) -> list[UsageRow]:
    """The rows that entries of the journal would become, received at a moment. Nothing is kept; they have positions
    from 1 on."""
    rest = list(enumerate(entries, 1))
    return _mediated(records, [Appended(organization_id, received, 1, len(rest), (), rest)]).rows


def _mediated(records: Records, parts: Sequence[Appended]) -> Mediated:
    def find_tables(organization_id: str, codes: tuple[str, ...]) -> Tables:
        return tables_of(read_tables(records.organization(organization_id), codes))

    return mediate(parts, _meters_of(records), find_tables, _custom_of(records))


def _meters_of(records: Records) -> FindMeter:
    def find(organization_id: str, meter_id: str, version: int) -> Meter:
        entity = records.organization(organization_id).at_version(Meter, meter_id, version)
        assert entity is not None, f"the records have no version {version} of the meter {meter_id}"
        return entity.value

    return find


def read_on(journal: Journal, find_meter: FindMeter, after: int, limit: int = BLOCK_ROWS) -> Iterator[Appended]:
    """What the journal holds above a position, read as columns as far as that goes; about `limit` rows at most."""
    forms: dict[Key, Forms | None] = {}

    def find_forms(organization_id: str, meter_id: str, version: int) -> Forms | None:
        key = (organization_id, meter_id, version)
        if key not in forms:
            meter = find_meter(*key)
            forms[key] = None if meter.derived_fields else forms_of(meter_id, version, meter)
        return forms[key]

    rows = 0
    for block in journal.read(after):
        yield _withdrawals(block, after) if block.kind == WITHDRAWAL else read_block(block, find_forms, after)
        rows += len(block.entries)
        if rows >= limit:
            return


def _withdrawals(block: Block, after: int) -> Appended:
    """What a block above a position takes out."""
    entries = [(position, unpack_withdrawal(raw)) for position, raw in enumerate(block.entries, block.first)]
    withdrawn = [
        Withdrawn(
            position=position,
            organization_id=block.organization_id,
            meter_id=entry.meter_id,
            account_id=entry.account_id,
            of=entry.of,
            ts=Instant.parse(entry.ts),
        )
        for position, entry in entries
        if position > after
    ]
    first = max(block.first, after + 1)
    return Appended(block.organization_id, block.received, first, block.last, (), (), withdrawn)


def _custom_of(records: Records) -> FindCustom:
    """Custom fields as they were at a moment; what each entity ever gave them is read once."""

    @cache
    def versions(organization_id: str, of: type[Value], id: str) -> list[Entity[Any]]:
        return records.organization(organization_id).versions(of, id)

    @cache
    def found(
        organization_id: str, product_id: str | None, names: tuple[str, ...], account_id: str, received: Instant
    ) -> tuple[OrganizationCustomFields, dict[str, CustomFields | None]]:
        def given(prefix: str, of: type[Value], id: str | None) -> CustomFields | None:
            wanted = id is not None and any(name.startswith(prefix + ".") for name in names)
            value = as_of(versions(organization_id, of, id), received) if wanted and id is not None else None
            return getattr(value, "custom_fields", None)

        defaults = as_of(versions(organization_id, OrganizationCustomFields, organization_id), received)
        assert isinstance(defaults, OrganizationCustomFields), "every organisation has them"
        return defaults, {
            "account": given("account", Account, account_id),
            "product": given("product", Product, product_id),
        }

    def find(
        organization_id: str, meter: Meter, names: tuple[str, ...], account_id: str, received: Instant
    ) -> Mapping[str, Scalar]:
        defaults, own = found(organization_id, meter.product_id, names, account_id, received)
        return custom_values(names, defaults, {**own, "meter": meter.custom_fields})

    return find


def _number(value: Scalar) -> Decimal:
    if not isinstance(value, Decimal):
        raise CalculationError("calculation", f"must give a number, gave {value!r:.40}")
    try:
        return parse_quantity(value)
    except ValueError as problem:
        raise CalculationError("calculation", str(problem)) from None


def _text(value: Scalar) -> str:
    if not isinstance(value, str):
        raise CalculationError("calculation", f"must give a text, gave {value!r:.40}")
    return value


def _events(part: Appended, failures: dict[tuple[str, str], list[CalculationFailure]]) -> Sequence[Document]:
    """One event for each derived field that failed in a block, whose id follows from the journal."""
    documents: list[Document] = []
    for (meter_id, code), failed in failures.items():
        first = failed[0]
        origin = f"{part.organization_id}/{part.first}/{meter_id}/{code}"
        event_id = str(uuid.UUID(bytes=xxhash.xxh3_128_digest(origin.encode()), version=4))
        text, in_base64 = as_text(first.original)
        about: dict[str, Any] = {
            "meter": first.meter_code,
            "field": code,
            "uid": first.uid,
            "count": len(failed),
            "measurement": text,
            "measurementBase64": in_base64,
        }
        event = failure_event(
            event_id,
            part.received,
            "calculation_error",
            f"{code}: {first.reason}; the measurement is counted with no value for this field",
            organization_id=part.organization_id,
            file=f"event%2F{event_id}",
            about=about,
        )
        documents.append(event_document(event, event_type=EVENT_TYPE, resource_id=meter_id))
    return documents
