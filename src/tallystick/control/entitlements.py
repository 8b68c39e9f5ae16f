"""Features and entitlements: kept; and told, once in a period, when a limit is reached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tallystick.control.desk import Desk, Draft, Noun, rule_broken, the
from tallystick.core.entitlement import (
    EVENT_TYPE,
    Entitlement,
    Feature,
    Grant,
    reached,
    reached_event,
)
from tallystick.outbox import EVENT, event_document, put_events
from tallystick.ports import Where


class Counted(Protocol):
    """An account whose usage was looked at."""

    @property
    def account_id(self) -> str: ...

    @property
    def account_code(self) -> str: ...


def _check_feature(draft: Draft[Feature]) -> Feature:
    """What a feature counts by cannot be taken away while a limit needs it."""
    if draft.before is not None and draft.value.aggregation_id is None:
        for each in draft.read.every(Entitlement, Where(equal={"feature_id": (draft.id,)})):
            if each.value.counts:
                raise rule_broken("aggregationId", f"the entitlement {each.id} has a limit, which needs it")
    return draft.value


def _check(draft: Draft[Entitlement]) -> Entitlement:
    value = draft.value
    if value.counts and the(draft.read, Feature, value.feature_id).aggregation_id is None:
        field = "hardLimit" if value.hard_limit is not None else "softLimit"
        raise rule_broken(field, "the feature has no aggregationId, so nothing counts how much of it is used")
    for field in ("account_id", "plan_id", "plan_template_id"):
        owner = getattr(value, field)
        if owner is None:
            continue
        for each in draft.read.every(Entitlement, Where(equal={field: (owner,), "feature_id": (value.feature_id,)})):
            if each.id != draft.id:
                raise rule_broken("featureId", f"the entitlement {each.id} is about the same; change that one")
    return value


FEATURES = Noun(of=Feature, check=_check_feature)
ENTITLEMENTS = Noun(of=Entitlement, check=_check)


def tell_reached(desk: Desk, of: Counted, grants: Iterable[Grant]) -> int:
    """Keep an event for each limit that is reached and was not told of in its period; how many there were.

    An entitlement that was changed or deleted meanwhile is left for the next look.
    """
    due = [
        (grant, reached_event(grant, kind, limit, of.account_id, of.account_code, desk.now))
        for grant in grants
        for kind, limit in reached(grant)
    ]
    due = [(grant, event) for grant, event in due if desk.records.document(EVENT, event.id) is None]
    if not due:
        return 0
    told = 0
    with desk.records.transaction() as write:
        for grant, event in due:
            there = write.get(Entitlement, grant.entitlement_id)
            if there is not None and there.value == grant.entitlement and write.document(EVENT, event.id) is None:
                about = {"account_id": of.account_id, "resource_id": grant.entitlement_id}
                put_events(write, [event_document(event, event_type=EVENT_TYPE, **about)])
                told += 1
    return told
