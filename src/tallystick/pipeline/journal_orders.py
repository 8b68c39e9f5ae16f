"""Documents whose journal entries are to be looked at: ordered in the transaction that changes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tallystick.core import wire
from tallystick.core.journal import SOURCES, JournalSource, breakage_source, payments_source
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Transaction

AT_ONCE = 200


def source_document(source: JournalSource, *, active: bool) -> Document:
    """A source as it is stored; an active one waits to be posted."""
    keys = {"active": "true" if active else "false", "type": source.type.value, "account_id": source.account_id}
    return Document(id=source.id, sort=source.id, keys=keys, body=wire.encode(source))


def read_sources(records: OrganizationRecords, ids: Iterable[str]) -> dict[str, JournalSource]:
    """Those of these sources that were ever ordered, by id."""
    wanted = sorted(set(ids))
    found: dict[str, JournalSource] = {}
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        rows = records.documents(SOURCES, DocumentWhere(equal={"id": part}), Page(size=AT_ONCE)).rows
        found |= {each.id: wire.decode(JournalSource, each.body) for each in rows}
    return found


def order(write: Transaction, sources: Sequence[JournalSource]) -> None:
    """Have these posted: what is posted of them already is kept in mind."""
    known = read_sources(write, [each.id for each in sources])
    again = [msgspec.structs.replace(known.get(each.id, each), of_version=each.of_version) for each in sources]
    write.put_documents(SOURCES, [source_document(each, active=True) for each in again])


def credit_changed(write: Transaction, credit_ids: Iterable[str]) -> None:
    """What is drawn of these credits was changed: look again at what is posted as expired of them."""
    order_again(write, [breakage_source(id_, carried=carried).id for id_ in credit_ids for carried in (False, True)])


def bills_changed(write: Transaction, bill_ids: Sequence[str]) -> None:
    """Bills were made anew or are no more: look again at what is posted of them, and of their payments."""
    order_again(write, [*bill_ids, *(payments_source(id_, "").id for id_ in bill_ids)])


def order_again(write: Transaction, ids: Iterable[str]) -> None:
    """Look again at those of these documents that were ever ordered: they were changed, or are no more."""
    known = list(read_sources(write, ids).values())
    if known:
        write.put_documents(SOURCES, [source_document(each, active=True) for each in known])
