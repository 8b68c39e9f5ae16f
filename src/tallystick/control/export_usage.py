"""Usage as rows of files: measurements as they lie in the store, or the numbers of a usage query.

Both are gone through in steps, so that no more than a file is held, and each step asks for what was in the journal when
the export was asked for: what arrives or is withdrawn meanwhile changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tallystick.control.export_files import Row, table_of
from tallystick.control.usage_query import checked_query, grouped_rows, row_keys
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.export_job import ColumnType, ExportColumn, ExportJob, ExportPlace, ExportPlan
from tallystick.core.export_types import ExportFileFormat
from tallystick.core.meter import Meter
from tallystick.core.period import Instant
from tallystick.core.time_group import TimeFrequency, group_start
from tallystick.core.usage_request import GroupType, QueryFunction
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, OrganizationUsage, UsageQuery
from tallystick.ports.usage import UsageRun

MOST_ANSWERS = 200_000  # rows of one question about numbers
ACCOUNTS_AT_ONCE = 5_000
UNDECLARED = "undeclared"
_OWN = (
    ExportColumn("uid", ColumnType.TEXT),
    ExportColumn("meterId", ColumnType.TEXT),
    ExportColumn("meterCode", ColumnType.TEXT),
    ExportColumn("accountId", ColumnType.TEXT),
    ExportColumn("accountCode", ColumnType.TEXT),
    ExportColumn("ts", ColumnType.TIME),
    ExportColumn("ets", ColumnType.TIME),
    ExportColumn("dtReceived", ColumnType.TIME),
    ExportColumn("journalPosition", ColumnType.WHOLE),
)
_NUMERIC = {True: ColumnType.NUMBER, False: ColumnType.TEXT}
_FIELD = "fields."  # before a field that has the name of a column of ours

Step = tuple[pa.Table | None, ExportPlace | None]


def plan(records: OrganizationRecords, usage: OrganizationUsage, job: ExportJob) -> ExportPlan:
    """Settle how the usage of a job is gone through. Refusals as those of a usage query."""
    query, meters = checked_query(records, job.selection.usage(job.start, job.end))
    if query.columns:
        return _plan_of_numbers(records, job, query, meters)
    known = {each.id: each.value for each in records.every(Meter)}
    asked = query.meter_ids or tuple(sorted({*known, *usage.meters()}))
    fields: dict[str, bool] = {}
    for each in (known[id_] for id_ in asked if id_ in known):
        for field in each.fields:
            fields[field.code] = fields.get(field.code, True) and field.category.numeric
    columns = (
        *_OWN,
        *(
            ExportColumn(_name(code), ColumnType.NUMBER if numeric else ColumnType.TEXT)
            for code, numeric in fields.items()
        ),
        ExportColumn(UNDECLARED, ColumnType.JSON),
    )
    return ExportPlan(columns=columns, stretches=tuple(_months(job.start, job.end)), meters=asked)


def step(records: OrganizationRecords, usage: OrganizationUsage, job: ExportJob, most: int) -> Step:
    """The rows of the next file, at most `most` of measurements, and where to go on; both may be none.

    Raises TooWide where a number does not fit, Refusal `rule_broken` where an answer has too many rows.
    """
    assert job.plan is not None, "it was settled when the job started"
    query, meters = checked_query(records, job.selection.usage(job.start, job.end))
    query = replace(query, up_to=job.up_to)
    tables: list[pa.Table] = []
    place: ExportPlace | None = job.place
    left = most
    while place is not None and left > 0:
        if query.columns:
            found, place = _numbers(records, usage, job, (query, meters), place)
        else:
            found, place = _run(records, usage, job, query, place, left)
        if found is not None and found.num_rows:
            tables.append(found)
            left -= found.num_rows
    return (pa.concat_tables(tables) if tables else None), place


# ------------------------------------------------------------------------------------------------- measurements


def _months(start: Instant | None, end: Instant | None) -> Iterator[tuple[Instant | None, Instant | None]]:
    """A period month by month, as the store keeps them apart."""
    assert start is not None, "a job of usage has both ends"
    assert end is not None, "a job of usage has both ends"
    while start < end:
        first = start.astimezone(UTC).date().replace(day=1)
        following = Instant.midnight((first + timedelta(days=32)).replace(day=1))
        yield start, min(following, end)
        start = following


def _run(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    job: ExportJob,
    query: UsageQuery,
    place: ExportPlace,
    most: int,
) -> tuple[pa.Table | None, ExportPlace | None]:
    """Measurements of one meter in one stretch, and the place behind them."""
    assert job.plan is not None, "it was settled when the job started"
    if not job.plan.meters or not job.plan.stretches:
        return None, None
    start, end = job.plan.stretches[place.stretch]
    meter_id = job.plan.meters[place.within]
    asked = replace(query, start=start, end=end, meter_ids=None)
    as_text = job.form is not ExportFileFormat.PARQUET
    run = UsageRun(query=asked, meter_id=meter_id, most=most, after=place.after, as_text=as_text)
    found = usage.columns(run)
    if found.num_rows == most:
        last = found.slice(most - 1).to_pylist()[0]
        after = (last["account"], Instant.of(last["ts"]), last["position"])
        return _shown(records, job, meter_id, found), msgspec.structs.replace(place, after=after)
    following = _following(place, len(job.plan.meters), len(job.plan.stretches))
    return (_shown(records, job, meter_id, found) if found.num_rows else None), following


def _following(place: ExportPlace, within: int, stretches: int) -> ExportPlace | None:
    if place.within + 1 < within:
        return ExportPlace(stretch=place.stretch, within=place.within + 1)
    if place.stretch + 1 < stretches:
        return ExportPlace(stretch=place.stretch + 1)
    return None


def _shown(records: OrganizationRecords, job: ExportJob, meter_id: str, found: pa.Table) -> pa.Table:
    """Measurements with the columns of the file."""
    assert job.plan is not None, "it was settled when the job started"
    count = found.num_rows
    account_ids = found.column("account").combine_chunks().dictionary_encode()
    codes = _codes(records, Account, account_ids.dictionary.to_pylist(), job)
    meter_code = _codes(records, Meter, [meter_id], job)[0]
    own: dict[str, Any] = {
        "uid": found.column("uid"),
        "meterId": pa.array([meter_id] * count, pa.string()),
        "meterCode": pa.array([meter_code] * count, pa.string()),
        "accountId": found.column("account"),
        "accountCode": pa.array(codes, pa.string()).take(account_ids.indices),
        "ts": found.column("ts"),
        "ets": found.column("ets"),
        "dtReceived": found.column("received"),
        "journalPosition": pc.cast(found.column("position"), pa.int64()),
    }
    placed: set[str] = set()
    arrays = [own.get(column.name) for column in job.plan.columns[: len(_OWN)]]
    for column in job.plan.columns[len(_OWN) : -1]:
        array, taken = _field(found, column, as_text=job.form is not ExportFileFormat.PARQUET)
        arrays.append(array)
        placed |= taken
    arrays.append(_rest(found, placed))
    return pa.table(arrays, names=[column.name for column in job.plan.columns])


def _field(found: pa.Table, column: ExportColumn, *, as_text: bool) -> tuple[Any, set[str]]:
    """The values of a declared field, and the columns of the store that they are in. A number in a field of texts is
    its text; a text in a field of numbers has no place here."""
    code = column.name.removeprefix(_FIELD)
    number, text = f"n.{code}", f"t.{code}"
    names = set(found.column_names)
    if column.type is ColumnType.NUMBER:
        kind = pa.string() if as_text else pa.decimal128(38, 18)
        return (found.column(number), {number}) if number in names else (pa.nulls(found.num_rows, kind), set())
    parts = [found.column(text)] if text in names else []
    if number in names:
        parts.append(_as_text(found.column(number)))
    if not parts:
        return pa.nulls(found.num_rows, pa.string()), set()
    return (pc.coalesce(*parts), {text, number} & names)


def _as_text(numbers: Any) -> Any:
    """Numbers as plain text; those that are it already stay."""
    if pa.types.is_string(numbers.type):
        return numbers
    columns = (ExportColumn("number", ColumnType.NUMBER),)
    rows: list[Row] = [(value,) for value in numbers.to_pylist()]
    return table_of(columns, rows, ExportFileFormat.CSV, wide=False).column("number")


def _rest(found: pa.Table, placed: set[str]) -> Any:
    """What measurements have beside the columns, as one JSON object: what the meter does not declare, or not so."""
    others = [name for name in found.column_names if name[:2] in {"n.", "t."} and name not in placed]
    others = [name for name in others if found.column(name).null_count < found.num_rows]
    if not others:
        return found.column("extra")
    values = {
        name: (_as_text(found.column(name)) if name[0] == "n" else found.column(name)).to_pylist() for name in others
    }
    texts: list[str | None] = []
    for at, extra in enumerate(found.column("extra").to_pylist()):
        members = _MEMBERS.decode(extra) if extra else {}
        for name in others:
            value = values[name][at]
            if value is not None:
                raw = value if name[0] == "n" else msgspec.json.encode(value)
                members[name[2:]] = msgspec.Raw(raw.encode() if isinstance(raw, str) else raw)
        texts.append(msgspec.json.encode(members).decode() if members else None)
    return pa.array(texts, pa.string())


def _codes(
    records: OrganizationRecords, of: type[Account] | type[Meter], ids: Sequence[str], job: ExportJob
) -> list[str | None]:
    """The codes that entities had when the job started: renaming one halfway does not give it two."""
    codes: dict[str, str | None] = dict(records.codes(of, ids))
    if job.as_of is not None:
        changed: Mapping[str, Entity[Any] | None] = records.changed_since(of, job.as_of)
        codes |= {id_: then.value.code for id_, then in changed.items() if then is not None}
    return [codes.get(id_) for id_ in ids]


def _name(code: str) -> str:
    """The column of a field."""
    return _FIELD + code if code in {*(column.name for column in _OWN), UNDECLARED} else code


# ------------------------------------------------------------------------------------------------- numbers


def _plan_of_numbers(
    records: OrganizationRecords, job: ExportJob, query: UsageQuery, meters: dict[str, Entity[Meter]]
) -> ExportPlan:
    groups, aggregations = job.selection.groups or (), job.selection.aggregations or ()
    group_keys, keys = row_keys(meters, query)
    columns = []
    for key, group in zip(group_keys, groups, strict=True):
        columns.append(ExportColumn(key, ColumnType.TIME if group.group_type is GroupType.TIME else ColumnType.TEXT))
        if group.group_type is GroupType.ACCOUNT:
            columns.append(ExportColumn("accountCode", ColumnType.TEXT))
    for key, each in zip(keys, aggregations, strict=True):
        mean = each.function is QueryFunction.MEAN
        columns.append(ExportColumn(key, ColumnType.QUOTIENT if mean else ColumnType.NUMBER))
    ranges: tuple[str, ...] = ("",)
    if any(group.group_type is GroupType.ACCOUNT for group in groups):
        ids = sorted(each.id for each in records.every(Account))
        ranges = ("", *ids[ACCOUNTS_AT_ONCE::ACCOUNTS_AT_ONCE])
    stretches = tuple(_stretches(job, query))
    return ExportPlan(columns=tuple(columns), stretches=stretches, accounts_from=ranges)


def _stretches(job: ExportJob, query: UsageQuery) -> Iterator[tuple[Instant | None, Instant | None]]:
    """The period in parts that hold whole groups of time, a month or so each; all of it where time is no group."""
    frequencies = [TimeFrequency(each.frequency) for each in query.groups if each.frequency is not None]
    start, end = job.start, job.end
    assert start is not None, "a job of usage has both ends"
    assert end is not None, "a job of usage has both ends"
    if not frequencies:
        yield start, end
        return
    widest = max(frequencies, key=list(TimeFrequency).index)
    apart = timedelta(days=1) if widest is TimeFrequency.HOUR else timedelta(days=31)
    while start < end:
        following = min(end, Instant.of(start + apart))
        cut = end if following >= end else _common_start(following, frequencies, query.zone)
        if cut <= start:
            apart += timedelta(days=31)
            continue
        yield start, cut
        start = cut


def _common_start(instant: Instant, frequencies: Sequence[TimeFrequency], zone: str) -> Instant:
    """The last instant at or before one at which groups of all the frequencies start."""
    while True:
        earliest = min(group_start(instant, each, zone) for each in frequencies)
        if earliest == instant:
            return instant
        instant = earliest


def _numbers(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    job: ExportJob,
    asked_for: tuple[UsageQuery, dict[str, Entity[Meter]]],
    place: ExportPlace,
) -> Step:
    """The numbers of one stretch for one range of accounts, and the place behind them."""
    assert job.plan is not None, "it was settled when the job started"
    (query, meters), ranges = asked_for, job.plan.accounts_from
    if not job.plan.stretches:
        return None, None
    start, end = job.plan.stretches[place.stretch]
    later = ranges[place.within + 1] if place.within + 1 < len(ranges) else None
    asked = replace(
        query,
        start=start,
        end=end,
        limit=MOST_ANSWERS,
        accounts_from=ranges[place.within] or None,
        accounts_until=later,
    )
    answers = usage.query(asked)
    if len(answers) > MOST_ANSWERS:
        message = f"groups: an answer has more than {MOST_ANSWERS:,} rows; group by time too, or ask for fewer values"
        raise Refusal("rule_broken", message, field="groups")
    rows = [
        tuple(row.get(column.name) for column in job.plan.columns)
        for row in grouped_rows(records, meters, asked, answers)
    ]
    following = _following(place, len(ranges), len(job.plan.stretches))
    return (table_of(job.plan.columns, rows, job.form, wide=job.wide) if rows else None), following


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
