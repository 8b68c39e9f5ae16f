"""Files that are sent to be held against what is counted here: part by part, each part safe to send again."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from tallystick.control.desk import Desk, new_id, rule_broken
from tallystick.core import wire
from tallystick.core.period import Instant
from tallystick.core.source_upload import KEPT_DAYS, KIND, MAX_FILE, SourceUpload, ending_of
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction
from tallystick.ports.sources import Sources

LONGEST_NAME = 200


def create_upload(desk: Desk, sources: Sources, name: str, content: bytes) -> SourceUpload:
    """Keep a file, or its first part. Its name tells its format, unless the reconciliation does."""
    if not 1 <= len(name) <= LONGEST_NAME or any(not each.isprintable() for each in name):
        raise rule_broken("name", f"must be 1 to {LONGEST_NAME} printable characters, such as march.csv")
    try:
        ending_of(name)
    except ValueError as problem:
        raise rule_broken("name", str(problem)) from None
    upload = SourceUpload(id=new_id(), version=1, name=name, bytes=0, dt_created=desk.now, created_by=desk.actor.id)
    size = sources.append(desk.records.organization_id, upload.stored, content, 0)
    with desk.records.transaction() as write:
        upload = msgspec.structs.replace(upload, bytes=size)
        _put(write, upload)
    return upload


def append(desk: Desk, sources: Sources, id: str, content: bytes, offset: int) -> SourceUpload:
    """Add the part that begins at an offset. Refusals: `not_found`, `rule_broken` for a part before its time or a file
    that grows too long."""
    upload = read_upload(desk.records, id)
    if offset + len(content) > MAX_FILE:
        raise rule_broken("offset", f"a file has at most {MAX_FILE:,} bytes; split it by days")
    size = sources.append(desk.records.organization_id, upload.stored, content, offset)
    with desk.records.transaction() as write:
        upload = msgspec.structs.replace(read_upload(write, id), bytes=size, version=upload.version + 1)
        _put(write, upload)
    return upload


def read_upload(records: OrganizationRecords, id: str) -> SourceUpload:
    """One of them; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no file {id[:40]!r} in this organisation", field="id")
    return wire.decode(SourceUpload, document.body)


def list_uploads(records: OrganizationRecords, page: Page) -> Found[SourceUpload]:
    """A page of files, the latest first."""
    found = records.documents(KIND, DocumentWhere(), page)
    return Found(tuple(wire.decode(SourceUpload, each.body) for each in found.rows), found.next_token)


def delete_upload(desk: Desk, sources: Sources, id: str) -> SourceUpload:
    """Forget a file. Refusal `not_found`."""
    with desk.records.transaction() as write:
        upload = read_upload(write, id)
        write.remove_document(KIND, id)
    sources.drop(desk.records.organization_id, upload.stored)
    return upload


def forget_old_uploads(desk: Desk, sources: Sources) -> int:
    """Forget the files whose time is over; returns how many are left."""
    left, token = 0, None
    while True:
        found = list_uploads(desk.records, Page(size=100, token=token))
        for each in found.rows:
            if each.dt_created + timedelta(days=KEPT_DAYS) <= desk.now:
                delete_upload(desk, sources, each.id)
            else:
                left += 1
        token = found.next_token
        if token is None:
            return left


def _put(write: Transaction, upload: SourceUpload) -> None:
    body = wire.encode(upload)
    write.put_documents(KIND, [Document(id=upload.id, sort=_sort(upload.dt_created), keys={}, body=body)])


def _sort(created: Instant) -> str:
    return created.stamp()
