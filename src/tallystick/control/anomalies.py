"""Anomalies that were found, and the policies that say what follows (core.anomaly)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from tallystick.control.desk import Draft, Noun, rule_broken
from tallystick.core import wire
from tallystick.core.anomaly import DEFAULT, KIND, Anomaly, AnomalyKind, AnomalyPolicy
from tallystick.core.entity import Entity
from tallystick.errors import Refusal
from tallystick.ports import DocumentWhere, Found, OrganizationRecords, Page


def _check(draft: Draft[AnomalyPolicy]) -> AnomalyPolicy:
    account_id = draft.value.account_id
    if draft.before is not None and draft.before.value.account_id != account_id:
        raise rule_broken("accountId", "a policy stays with its account; make another for the other account")
    there = policy_of(draft.read, account_id)
    if there is not None and there.id != draft.id:
        whose = f"the account {account_id}" if account_id else "the organisation (a policy without accountId)"
        raise rule_broken("accountId", f"{whose} has the policy {there.id} already; change that one")
    return draft.value


ANOMALY_POLICIES = Noun(of=AnomalyPolicy, check=_check)


def policy_of(records: OrganizationRecords, account_id: str | None) -> Entity[AnomalyPolicy] | None:
    """The policy of an account, or of the organisation itself; None where nobody made one."""
    return next((each for each in records.every(AnomalyPolicy) if each.value.account_id == account_id), None)


def policy_in_force(records: OrganizationRecords, account_id: str | None) -> AnomalyPolicy:
    """What holds for an account: its own policy, the organisation's, or what holds where nobody made one."""
    for each in dict.fromkeys((account_id, None)):
        found = policy_of(records, each)
        if found is not None:
            return found.value
    return DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomaliesWanted:
    """Which anomalies a list shows; every part that is given must hold. Days are inclusive."""

    kind: AnomalyKind | None = None
    account_id: str | None = None
    meter_id: str | None = None
    days: tuple[date | None, date | None] = (None, None)


def list_anomalies(records: OrganizationRecords, wanted: AnomaliesWanted, page: Page) -> Found[Anomaly]:
    """A page of anomalies, the latest day first."""
    texts = {
        "kind": wanted.kind.value if wanted.kind else None,
        "account_id": wanted.account_id,
        "meter_id": wanted.meter_id,
    }
    first, last = wanted.days
    between = {"day": (first.isoformat() if first else None, last.isoformat() if last else None)}
    where = DocumentWhere(
        equal={name: (text,) for name, text in texts.items() if text is not None},
        between=between if first or last else None,
    )
    found = records.documents(KIND, where, page)
    return Found(tuple(wire.decode(Anomaly, each.body) for each in found.rows), found.next_token)


def get_anomaly(records: OrganizationRecords, id: str) -> Anomaly:
    """One anomaly; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no anomaly {id[:40]!r} in this organization", field="id")
    return wire.decode(Anomaly, document.body)
