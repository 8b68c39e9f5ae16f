"""The history of the catalogue: every version that was applied, with who, when and why, and the catalogue itself.

What was changed otherwise, by the API or in the console, is found when the next plan is applied, and kept as a version
of its own before that, so that one can go back to it too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.control.catalog_stock import Stock
from tallystick.control.desk import Desk
from tallystick.core import wire
from tallystick.core.catalog_change import CatalogChange, changes_of
from tallystick.core.catalog_entries import CatalogEntries
from tallystick.core.catalog_parts import put_together, taken_apart
from tallystick.core.catalog_plan import CatalogPlan, CatalogVersion
from tallystick.core.catalog_reading import read_entries
from tallystick.core.catalog_written import shown
from tallystick.core.ids import named_id
from tallystick.core.simulation_effect import Effect
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction

KIND = "catalogversion"
WIDTH = 9


class KeptVersion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A version with the whole catalogue as it then was."""

    version: CatalogVersion
    catalog: dict[str, Any]


def keep_version(
    desk: Desk,
    write: Transaction,
    before: Stock,
    after: Stock,
    plan: CatalogPlan,
    reason: str | None,
    effects: tuple[Effect, ...],
) -> CatalogVersion:
    """Keep the catalogue after a plan was applied; and before it, as it was found, where no version is that."""
    found = write.documents(KIND, DocumentWhere(), Page(size=1)).rows
    last = wire.decode(KeptVersion, found[0].body) if found else None
    number = 1 if last is None else last.version.number + 1
    if last is None or last.version.digest != before.digest:
        as_found = CatalogVersion(
            id=_id(write, number),
            number=number,
            digest=before.digest,
            dt_applied=desk.now,
            applied_by=desk.actor.id,
            changes=() if last is None else _since(last, before),
            found=True,
        )
        _put(write, as_found, before)
        number += 1
    version = CatalogVersion(
        id=_id(write, number),
        number=number,
        digest=after.digest,
        dt_applied=desk.now,
        applied_by=desk.actor.id,
        changes=plan.changes,
        plan_id=plan.id,
        planned_by=plan.created_by,
        approved_by=plan.approved_by,
        effective_from=plan.effective_from,
        to_version=plan.to_version,
        reason=reason,
        effects=effects,
    )
    _put(write, version, after)
    return version


def _since(last: KeptVersion, now: Stock) -> tuple[CatalogChange, ...]:
    before = {each.key: each.entry for each in taken_apart(_entries(last))}
    return changes_of(before, now.entries)


def _put(write: Transaction, version: CatalogVersion, stock: Stock) -> None:
    kept = KeptVersion(version=version, catalog=shown(put_together(stock.entries)))
    document = Document(id=version.id, sort=f"{version.number:0{WIDTH}}", keys={}, body=wire.encode(kept))
    write.put_documents(KIND, [document])


def list_versions(records: OrganizationRecords, page: Page) -> Found[CatalogVersion]:
    """A page of versions, the latest first."""
    found = records.documents(KIND, DocumentWhere(), page)
    return Found(tuple(wire.decode(KeptVersion, each.body).version for each in found.rows), found.next_token)


def read_version(records: OrganizationRecords, id: str) -> KeptVersion:
    """One version with its catalogue; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no version {id[:40]!r} of the catalogue", field="id")
    return wire.decode(KeptVersion, document.body)


def entries_of_version(records: OrganizationRecords, number: int) -> CatalogEntries:
    """The catalogue of the version with a number; Refusal `not_found`."""
    document = records.document(KIND, _id(records, number))
    if document is None:
        raise Refusal("not_found", f"toVersion: there is no version {number} of the catalogue", field="toVersion")
    return _entries(wire.decode(KeptVersion, document.body))


def _id(records: OrganizationRecords, number: int) -> str:
    return named_id(records.organization_id, f"{KIND}/{number}")


def _entries(kept: KeptVersion) -> CatalogEntries:
    entries, problems = read_entries(kept.catalog)
    assert not problems, f"version {kept.version.number} of the catalogue was whole when it was kept"
    return entries
