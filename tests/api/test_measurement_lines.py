"""A measurement that was acknowledged a moment ago is known, although its uid is claimed after the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.api.measurement_lines import find
from tallystick.api.routing import Call
from tallystick.app import App, build
from tallystick.control.desk import Desk
from tallystick.control.meters import METERS
from tallystick.control.organizations import create_organization
from tallystick.core.meter import Category, DataField, Meter
from tallystick.errors import Refusal
from tallystick.ports import Actor, Claim, UidIndex
from tallystick.settings import Settings
from tallystick.web.query import QueryString

ADA = Actor("ada", "SERVICE_USER")


class Behind:
    """The uid index as it is between the answer and the claim, for some looks."""

    def __init__(self, index: UidIndex, looks: int) -> None:
        self._index = index
        self.looks = looks

    @property
    def mark(self) -> int:
        return 0 if self.looks else self._index.mark

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, Claim]:
        if not self.looks:
            return self._index.look_up(keys)
        self.looks -= 1
        return {}

    def put(self, keys: Sequence[bytes], contents: Sequence[bytes], first: int, mark: int) -> None:
        raise NotImplementedError

    flush = close = lambda self: None
    damage = None


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_what_was_just_acknowledged_is_known(tmp_path: Path, looks: int) -> None:
    app: App = build(Settings(data=str(tmp_path)))
    now = app.clock.now()
    id_ = create_organization(app.records, "North", "USD", now).organization.id
    records = app.records.organization(id_)
    bytes_ = DataField(code="bytes", name="Bytes", category=Category.MEASURE, unit="By")
    meter = Meter(name="Files", code="files", data_fields=(bytes_,), derived_fields=())
    METERS.create(Desk(records=records, actor=ADA, now=now), meter)
    sent = {"uid": "m", "meter": "files", "account": "acme", "ts": "2025-03-10T00:00:00Z", "measure": {"bytes": 1}}
    app.intake.take(id_, [json.dumps(sent).encode()])
    while app.uids.mark < app.journal.last:
        pass
    index = Behind(app.uids, looks)

    def asked(uid: str) -> Call:
        usage = app.usage.organization(id_)
        query = QueryString({"uid": uid})
        return Call(app=replace(app, uids=index), records=records, usage=usage, actor=ADA, now=now, query=query)

    (other,) = find(asked("m")).others
    assert (other.reason, index.looks) == ("NOT_COUNTED_YET", 0)
    with pytest.raises(Refusal, match="was ever sent"):
        find(asked("never"))
    app.close()
