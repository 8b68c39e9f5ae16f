"""Lookup tables, their revisions, and the rows of those (reference 2.13; docs/decisions/0162-lookup-tables.md).

Only the rows of a DRAFT are edited, and nothing becomes a DRAFT again: what was ever in force stays as it was, so that
measurements and bills can be made again of the very same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from tallystick.control import lookup_jobs as jobs
from tallystick.control.desk import Desk, Draft, Noun, in_use, rule_broken
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.core.expression import Expression, parse
from tallystick.core.lookup import WITH_LOOKUPS, may_look_up, tables_in
from tallystick.core.lookup_job import JobStatus, JobType, LookupJob
from tallystick.core.lookup_types import (
    MAX_ROWS,
    MAX_ROWS_AT_ONCE,
    LookupData,
    LookupTable,
    LookupTableRevision,
    RevisionStatus,
    Row,
)
from tallystick.core.meter import Meter
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Transaction, Where

_FIXED = ("fields", "keys", "start_date")  # of what was published
_BY_STATUS = ("status", "published_at", "withdrawn_at")  # changed by `set_status` only


# ------------------------------------------------------------------------------------------------------ formulas


def require_tables(read: OrganizationRecords, expression: Expression, place: str) -> None:
    """Refuse a formula that reads a table which does not exist, or otherwise than its active revision is made."""
    try:
        named = tables_in(expression)
    except ValueError as problem:
        raise rule_broken(place, str(problem)) from None
    for code, (fields, counts) in named.items():
        table = read.by_code(LookupTable, code)
        if table is None:
            raise rule_broken(place, f"there is no lookup table with the code {code[:80]!r}")
        active = active_revision(read, table.id)
        for name, wanted in fields.items() if active else ():
            found = active.value.type_of(name) if active else None
            if found is None:
                raise rule_broken(place, f"the lookup table {code} has no field {name[:80]!r}")
            if wanted not in {None, found}:
                raise rule_broken(place, f"the field {name} of the lookup table {code} is a {found}, not a {wanted}")
        if active and counts != {len(active.value.keys)}:
            raise rule_broken(place, f"the lookup table {code} has the keys {', '.join(active.value.keys)}: give each")


def _formulas(read: OrganizationRecords) -> Iterator[tuple[Entity[Meter] | Entity[CompoundAggregation], str]]:
    for meter in read.every(Meter):
        yield from ((meter, field.calculation) for field in meter.value.derived_fields)
    for compound in read.every(CompoundAggregation):
        yield compound, compound.value.calculation


def _require_unread(read: OrganizationRecords, table: Entity[LookupTable], field: str) -> None:
    """Refuse to take a code away from the formulas that name it."""
    users = {
        (of.value.kind, of.id)
        for of, formula in _formulas(read)
        if may_look_up(formula) and table.value.code in tables_in(parse(formula, WITH_LOOKUPS))
    }
    if users:
        raise in_use("lookup table", table.id, sorted(users)[:10], field=field)


# ------------------------------------------------------------------------------------------------------ tables


def _check_table(draft: Draft[LookupTable]) -> LookupTable:
    if draft.before is not None and draft.before.value.code != draft.value.code:
        _require_unread(draft.read, draft.before, "code")
        revisions = draft.read.every(LookupTableRevision, Where(equal={"lookup_table_id": (draft.id,)}))
        if any(each.value.published_at for each in revisions):
            # A meter that named it once may not do so any more; its measurements are still read again by that name.
            raise rule_broken("code", "a revision was published under it, so it stays; make another table instead")
    return draft.value


def _check_table_removal(read: Transaction, table: Entity[LookupTable]) -> None:
    _require_unread(read, table, "id")


def active_revision(read: OrganizationRecords, table_id: str) -> Entity[LookupTableRevision] | None:
    """The published revision of a table."""
    revisions = read.every(LookupTableRevision, Where(equal={"lookup_table_id": (table_id,)}))
    return next((each for each in revisions if each.value.status is RevisionStatus.PUBLISHED), None)


# ------------------------------------------------------------------------------------------------------ revisions


def _check_revision(draft: Draft[LookupTableRevision]) -> LookupTableRevision:
    value, before = draft.value, draft.before
    if before is None:
        if value.status is not RevisionStatus.DRAFT or value.published_at or value.withdrawn_at:
            raise rule_broken("status", "a revision begins as a DRAFT; PUT …/{id}/status publishes it")
        return value
    if before.value.status is not RevisionStatus.DRAFT:
        for name in _FIXED:
            if getattr(value, name) != getattr(before.value, name):
                message = f"the revision is {before.value.status}: only its name and customFields can be changed"
                raise rule_broken({"start_date": "startDate"}.get(name, name), message)
    elif (value.fields, value.keys) != (before.value.fields, before.value.keys) and _has_rows(draft):
        raise rule_broken("fields", "the revision has rows: delete them before changing its fields or keys")
    # A body does not say what `set_status` has made of the revision.
    return msgspec.structs.replace(value, **{name: getattr(before.value, name) for name in _BY_STATUS})


def _has_rows(draft: Draft[LookupTableRevision]) -> bool:
    data = data_of(draft.read, draft.id)
    return data is not None and bool(data.value.rows)


def _check_revision_removal(read: Transaction, revision: Entity[LookupTableRevision]) -> None:
    if revision.value.published_at is not None:
        message = "the revision was published, and measurements and bills were made with it: archive it instead"
        raise rule_broken("status", message)


LOOKUP_TABLES = Noun(of=LookupTable, check=_check_table, check_removal=_check_table_removal)
LOOKUP_TABLE_REVISIONS = Noun(of=LookupTableRevision, check=_check_revision, check_removal=_check_revision_removal)
_DATA = Noun(of=LookupData)


def revision_of(read: OrganizationRecords, table_id: str, id: str) -> Entity[LookupTableRevision]:
    """A revision of this very table. Refusal `not_found`."""
    revision = LOOKUP_TABLE_REVISIONS.retrieve(read, id)
    if revision.value.lookup_table_id != LOOKUP_TABLES.retrieve(read, table_id).id:
        raise Refusal("not_found", f"id: there is no revision {id[:40]!r} of this lookup table", field="id")
    return revision


def set_status(
    desk: Desk, table_id: str, id: str, status: RevisionStatus, version: int | None
) -> Entity[LookupTableRevision]:
    """Publish a draft, which archives the revision before it, or archive a revision. Refusals: `not_found`,
    `version_mismatch`, `rule_broken`."""
    with desk.records.transaction() as write:
        revision = revision_of(write, table_id, id)
        before = revision.value.status
        if (before, status) not in {
            (RevisionStatus.DRAFT, RevisionStatus.PUBLISHED),
            (RevisionStatus.DRAFT, RevisionStatus.ARCHIVED),
            (RevisionStatus.PUBLISHED, RevisionStatus.ARCHIVED),
        }:
            message = (
                f"a revision goes from DRAFT to PUBLISHED to ARCHIVED; this one is {before}, and cannot be {status}"
            )
            raise rule_broken("status", f"{message}: copy its rows into a new revision instead")
        if status is RevisionStatus.PUBLISHED and (former := active_revision(write, table_id)):
            archive(desk, write, _put(desk, write, former, status=RevisionStatus.ARCHIVED))
        moments = {
            (RevisionStatus.DRAFT, RevisionStatus.PUBLISHED): {"published_at": desk.now},
            (RevisionStatus.PUBLISHED, RevisionStatus.ARCHIVED): {"withdrawn_at": desk.now},
        }
        changed = _put(desk, write, revision, version, status=status, **moments.get((before, status), {}))
        if status is RevisionStatus.ARCHIVED:
            archive(desk, write, changed)
        return changed


def archive(desk: Desk, write: Transaction, revision: Entity[LookupTableRevision]) -> LookupJob:
    """Keep the job that stands for the rows of a revision that was just archived."""
    kept = jobs.snapshot(revision, data_of(write, revision.id))
    return jobs.keep(write, jobs.new_job(desk, revision, JobType.ARCHIVE, JobStatus.SUCCEEDED, snapshot=kept))


def _put(
    desk: Desk, write: Transaction, revision: Entity[LookupTableRevision], version: int | None = None, **changes: object
) -> Entity[LookupTableRevision]:
    """Keep a revision with changes that no body can make."""
    noun = Noun(of=LookupTableRevision)
    return noun.update_within(desk, write, revision, msgspec.structs.replace(revision.value, **changes), version)


# ------------------------------------------------------------------------------------------------------ rows


def data_of(read: OrganizationRecords, revision_id: str) -> Entity[LookupData] | None:
    """The rows of a revision; None where it never had any."""
    found = read.every(LookupData, Where(equal={"lookup_table_revision_id": (revision_id,)}))
    return next(iter(found), None)


def upsert(
    desk: Desk, table_id: str, revision_id: str, items: Sequence[Mapping[str, object]], version: int | None
) -> Entity[LookupData]:
    """Add rows to a draft; a row with the key of one that is there takes its place."""
    if len(items) > MAX_ROWS_AT_ONCE:
        raise rule_broken("items", f"at most {MAX_ROWS_AT_ONCE:,} rows at once, got {len(items):,}")
    with desk.records.transaction() as write:
        revision = draft_of(write, table_id, revision_id)
        rows = [_row(revision, item, f"items[{place}]") for place, item in enumerate(items)]
        keys = [revision.value.key_of(row) for row in rows]
        if len(set(keys)) < len(keys):
            twice = next(key for place, key in enumerate(keys) if key in keys[:place])
            raise rule_broken("items", f"the key {twice[:80]!r} is given twice")
        return write_rows(desk, write, revision, dict(zip(keys, rows, strict=True)), version)


def upsert_key(
    desk: Desk, table_id: str, revision_id: str, key: str, item: Mapping[str, object], version: int | None
) -> Entity[LookupData]:
    """Put the row with a key into a draft; `item` may leave out the key's fields, and must not contradict them."""
    with desk.records.transaction() as write:
        revision = draft_of(write, table_id, revision_id)
        row = _row(revision, item, "item")
        if revision.value.key_of(row) != key:
            raise rule_broken("item", f"its key is {revision.value.key_of(row)[:80]!r}, the path says {key[:80]!r}")
        return write_rows(desk, write, revision, {key: row}, version)


def delete_key(
    desk: Desk, table_id: str, revision_id: str, key: str, version: int | None
) -> tuple[Row, Entity[LookupData]]:
    """Take the row with a key out of a draft, and give it. Refusal `not_found`."""
    with desk.records.transaction() as write:
        revision = draft_of(write, table_id, revision_id)
        row = row_of(write, revision, key)
        return row, write_rows(desk, write, revision, {key: None}, version)


def delete_data(desk: Desk, table_id: str, revision_id: str) -> None:
    """Take every row out of a draft."""
    with desk.records.transaction() as write:
        revision = draft_of(write, table_id, revision_id)
        kept = data_of(write, revision.id)
        if kept is not None:
            _DATA.update_within(desk, write, kept, msgspec.structs.replace(kept.value, rows=()), None)


def row_of(read: OrganizationRecords, revision: Entity[LookupTableRevision], key: str) -> Row:
    """The row with a key. Refusal `not_found`."""
    kept = data_of(read, revision.id)
    rows = kept.value.rows if kept else ()
    found = next((row for row in rows if revision.value.key_of(row) == key), None)
    if found is None:
        message = f"lookupKey: the revision has no row with the key {key[:80]!r} ({', '.join(revision.value.keys)})"
        raise Refusal("not_found", message, field="lookupKey")
    return found


def copy(desk: Desk, table_id: str, revision_id: str, target_id: str | None) -> LookupJob:
    """Copy the rows of a revision into a draft with the same fields and keys, in place of what that has; without a
    target, into a new revision. The job that is kept is done."""
    with desk.records.transaction() as write:
        source = revision_of(write, table_id, revision_id)
        if target_id is None:
            fresh = dict.fromkeys(("published_at", "withdrawn_at")) | {"status": RevisionStatus.DRAFT}
            name = f"{source.value.name[:195]} Copy"
            value = msgspec.structs.replace(source.value, name=name, **fresh)
            target = LOOKUP_TABLE_REVISIONS.create_within(desk, write, value, desk.new_id())
        else:
            target = draft_of(write, the_table_of(write, target_id), target_id, "revisionId")
        if (source.value.fields, source.value.keys) != (target.value.fields, target.value.keys):
            raise rule_broken("revisionId", "the two revisions differ in their fields or keys")
        kept, copied = data_of(write, target.id), data_of(write, source.id)
        rows = copied.value.rows if copied else ()
        if kept is not None:
            _DATA.update_within(desk, write, kept, msgspec.structs.replace(kept.value, rows=rows), None)
        elif rows:
            _DATA.create_within(desk, write, LookupData(lookup_table_revision_id=target.id, rows=rows), desk.new_id())
        done = jobs.new_job(
            desk, source, JobType.COPY, JobStatus.SUCCEEDED, destination_lookup_table_revision_id=target.id
        )
        return jobs.keep(write, done)


def the_table_of(read: OrganizationRecords, revision_id: str) -> str:
    """The id of the table that a revision named in a body is of. Refusal `unknown_reference`."""
    found = read.get(LookupTableRevision, revision_id)
    if found is None:
        message = f"revisionId: there is no lookup table revision {revision_id[:40]!r} in this organisation"
        raise Refusal("unknown_reference", message, field="revisionId")
    return found.value.lookup_table_id


def draft_of(
    read: OrganizationRecords, table_id: str, revision_id: str, field: str = "status"
) -> Entity[LookupTableRevision]:
    """A revision whose rows can be edited. Refusals: `not_found`, `rule_broken`."""
    revision = revision_of(read, table_id, revision_id)
    if revision.value.status is not RevisionStatus.DRAFT:
        message = f"the revision is {revision.value.status}; only the rows of a DRAFT can be edited"
        raise rule_broken(field, f"{message}: copy it into a new revision")
    return revision


def _row(revision: Entity[LookupTableRevision], item: Mapping[str, object], place: str) -> Row:
    try:
        return revision.value.row(item, place)
    except ValueError as problem:
        field, _, what = str(problem).partition(": ")
        raise rule_broken(field, what) from None


def write_rows(
    desk: Desk,
    write: Transaction,
    revision: Entity[LookupTableRevision],
    changes: Mapping[str, Row | None],
    version: int | None,
) -> Entity[LookupData]:
    """Keep the rows of a draft with these changes (None takes a row out), in order of their keys."""
    kept = data_of(write, revision.id)
    rows: Iterable[Row] = kept.value.rows if kept else ()
    by_key: dict[str, Row | None] = {revision.value.key_of(row): row for row in rows}
    by_key.update(changes)
    ordered = tuple(row for _, row in sorted(by_key.items()) if row is not None)
    if len(ordered) > MAX_ROWS:
        raise rule_broken("items", f"a revision has at most {MAX_ROWS:,} rows; this would make {len(ordered):,}")
    value = LookupData(lookup_table_revision_id=revision.id, rows=ordered)
    if kept is None:
        if version is not None:
            message = f"version: the revision has no rows yet, the request names version {version}"
            raise Refusal("version_mismatch", message, field="version")
        return _DATA.create_within(desk, write, value, desk.new_id())
    return _DATA.update_within(desk, write, kept, value, version)
