"""Spend alerts: kept, shown with where they stand, and fired exactly once (docs/decisions/0296-spend-alerts.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tallystick.control.currencies import require_currency
from tallystick.control.desk import Desk, Draft, Noun, rule_broken, the
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.spend_alert import (
    AMOUNTS,
    EVENT_TYPE,
    MAX_ALERTS,
    AlertState,
    SpendAlert,
    Standing,
    firing,
    next_state,
)
from tallystick.outbox import event_document, put_events
from tallystick.ports import Document, OrganizationRecords, Page, Transaction, Where
from tallystick.ports.founded import config_of

STATE = "spendalertstate"


def _check(draft: Draft[SpendAlert]) -> SpendAlert:
    read, value = draft.read, draft.value
    if draft.before is not None and draft.before.value.account_id != value.account_id:
        raise rule_broken("accountId", "an alert stays with its account; make another for the other account")
    if draft.before is None:
        there = read.find(SpendAlert, Where(equal={"account_id": (value.account_id,)}), Page(size=MAX_ALERTS)).rows
        if len(there) >= MAX_ALERTS:
            raise rule_broken("accountId", f"the account has {MAX_ALERTS} alerts, which is the most; delete one first")
    if value.balance_id is not None:
        balance = the(read, Balance, value.balance_id)
        if balance.account_id != value.account_id:
            raise rule_broken("balanceId", "must be a balance of the account")
        if value.currency not in {None, balance.currency}:
            raise rule_broken("currency", f"the balance is in {balance.currency}; leave the currency out")
        return msgspec.structs.replace(value, currency=balance.currency)
    if value.commitment_id is not None and the(read, Commitment, value.commitment_id).account_id != value.account_id:
        raise rule_broken("commitmentId", "must be a commitment of the account")
    if value.type in AMOUNTS and value.currency is None:
        own = the(read, Account, value.account_id).currency or config_of(read).value.currency
        return msgspec.structs.replace(value, currency=own)
    require_currency(read, value.currency)
    return value


SPEND_ALERTS = Noun(of=SpendAlert, check=_check)


def alerts_of(records: OrganizationRecords, account_id: str) -> list[Entity[SpendAlert]]:
    """The alerts of an account, oldest first."""
    return list(records.every(SpendAlert, Where(equal={"account_id": (account_id,)})))


def active_alerts(records: OrganizationRecords) -> dict[str, list[Entity[SpendAlert]]]:
    """The alerts that are watched, by account."""
    by_account: dict[str, list[Entity[SpendAlert]]] = {}
    for each in records.every(SpendAlert, Where(equal={"active": ("true",)})):
        by_account.setdefault(each.value.account_id, []).append(each)
    return by_account


def state_of(records: OrganizationRecords, alert: Entity[SpendAlert]) -> AlertState:
    """Where an alert stands: armed, if nothing else is known of its present version."""
    document = records.document(STATE, alert.id)
    if document is not None:
        state = wire.decode(AlertState, document.body)
        if state.of_version == alert.version:
            return state
    else:
        state = AlertState(alert_id=alert.id, account_id=alert.value.account_id, of_version=alert.version)
    return msgspec.structs.replace(state, of_version=alert.version, fired=None, value=None, periods=())


def look_at(desk: Desk, alerts: Iterable[Entity[SpendAlert]], standing: Standing) -> int:
    """Fire the alerts of an account that are due by how it stands, each with its event in the same transaction.

    Returns how many fired. An alert that was changed or deleted meanwhile is left for the next look.
    """
    fired = 0
    due = [each for each in alerts if _moves(desk.records, each, standing, desk.now)]
    if not due:
        return 0
    with desk.records.transaction() as write:
        for each in due:
            now_there = write.get(SpendAlert, each.id)
            if now_there is None or now_there.version != each.version:
                continue
            before = state_of(write, each)
            after = next_state(before, each.value, each.version, standing, desk.now)
            _keep(write, after)
            if after.times > before.times:
                _keep_event(write, after, each.value)
                fired += 1
    return fired


def states_of(records: OrganizationRecords, alerts: Sequence[Entity[SpendAlert]]) -> dict[str, AlertState]:
    """Where each alert stands, by id."""
    return {each.id: state_of(records, each) for each in alerts}


def _moves(records: OrganizationRecords, alert: Entity[SpendAlert], standing: Standing, now: Instant) -> bool:
    before = state_of(records, alert)
    return next_state(before, alert.value, alert.version, standing, now) != before


def _keep(write: Transaction, state: AlertState) -> None:
    document = Document(
        id=state.alert_id, sort=state.alert_id, keys={"account_id": state.account_id}, body=wire.encode(state)
    )
    write.put_documents(STATE, [document])


def _keep_event(write: Transaction, state: AlertState, alert: SpendAlert) -> None:
    event = firing(state, alert)
    about = {"account_id": state.account_id, "resource_id": state.alert_id}
    put_events(write, [event_document(event, event_type=EVENT_TYPE, **about)])
