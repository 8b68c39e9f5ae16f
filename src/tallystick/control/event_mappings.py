"""Event mappings: which events of other programs count, for which meter, and how (core.event_mapping)."""

from __future__ import annotations

from tallystick.control.desk import Draft, Noun, rule_broken, the
from tallystick.core.event_mapping import EventMapping, Mapper
from tallystick.core.identity import FIELD
from tallystick.core.meter import Meter
from tallystick.ports import OrganizationRecords


def _check(draft: Draft[EventMapping]) -> EventMapping:
    value = draft.value
    if draft.before is not None and draft.before.value.code != value.code:
        message = "is part of the uids of what was counted, so that it cannot change; make another event mapping"
        raise rule_broken("code", message)
    if value.meter_id is not None:
        _require_fields(value, the(draft.read, Meter, value.meter_id))
    return value


def _require_fields(value: EventMapping, meter: Meter) -> None:
    """Each field of the meter has its source, or else no event could ever count."""
    declared = {each.code for each in meter.data_fields}
    for code in value.fields:
        if code not in declared:
            known = ", ".join(sorted(declared))
            raise rule_broken("fields", f"the meter {meter.code!r} has no data field {code!r}; it has {known}")
    # The field `identity` is filled with the identity that the account is found by.
    missing = declared - value.fields.keys() - ({FIELD} if value.identity is not None else set())
    if missing:
        named = ", ".join(sorted(missing))
        raise rule_broken("fields", f"say where {named} of the meter {meter.code!r} comes from; a default may stand in")


EVENT_MAPPINGS = Noun(of=EventMapping, check=_check)


def mapper_of(records: OrganizationRecords) -> Mapper:
    """All mappings of the organisation as they stand."""
    return Mapper.of(list(records.every(EventMapping)), records.every(Meter))
