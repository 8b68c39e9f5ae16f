"""Held bills: what holds them, and their release. Anomalies: what was out of the ordinary, and what follows."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.anomalies import (
    ANOMALY_POLICIES,
    AnomaliesWanted,
    list_anomalies,
    policy_in_force,
    policy_of,
)
from tallystick.control.bill_holds import hold_bill, list_holds, release_bill
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.anomaly import AnomalyKind, AnomalyPolicy
from tallystick.core.bill_hold import HoldState, ReleaseReason
from tallystick.core.meter import Meter
from tallystick.core.user import May
from tallystick.errors import Refusal

SIZE = 50
# What each kind is called, and what it means.
KINDS = {
    AnomalyKind.SPIKE: ("Spike", "an account's usage is many times the usual"),
    AnomalyKind.DROP_TO_ZERO: ("Drop to zero", "an account that always has usage has none"),
    AnomalyKind.SILENT_METER: ("Silent meter", "a meter has no measurements of any account"),
    AnomalyKind.DUPLICATES: ("Duplicates", "far more measurements than usual were sent again"),
    AnomalyKind.FAILURES: ("Failures", "far more measurements than usual could not be accepted"),
}
REASONS = (
    (ReleaseReason.GROWTH, "Growth: they really use that much"),
    (ReleaseReason.ABUSE, "Abuse: usage that they did not want"),
    (ReleaseReason.BUG, "Bug: of the source, and corrected"),
)


def _holds(visit: Visit) -> Html:
    state = visit.query.choice("state", HoldState) or HoldState.HELD
    found = list_holds(visit.records, visit.query.page(highest=SIZE), state=state)
    names = visit.records.get_many(Account, {each.account_id for each in found.rows})
    return Html(
        "holds.html",
        {
            "rows": found.rows,
            "next_token": found.next_token,
            "names": {id_: each.value.name for id_, each in names.items()},
            "state": state,
            "states": [(each.value, each.value.capitalize()) for each in HoldState],
        },
    )


def _anomalies(visit: Visit) -> Html:
    query = visit.query
    wanted = AnomaliesWanted(
        kind=query.choice("kind", AnomalyKind),
        account_id=query.text("accountId"),
        meter_id=query.text("meterId"),
        days=(query.day("from"), query.day("to")),
    )
    found = list_anomalies(visit.records, wanted, query.page(highest=SIZE))
    accounts = visit.records.get_many(Account, {each.account_id for each in found.rows if each.account_id})
    meters = visit.records.get_many(Meter, {each.meter_id for each in found.rows if each.meter_id})
    return Html(
        "anomalies.html",
        {
            "rows": found.rows,
            "next_token": found.next_token,
            "accounts": {id_: each.value.name for id_, each in accounts.items()},
            "meters": {id_: each.value.name for id_, each in meters.items()},
            "kinds": [("", "Any"), *((kind.value, label) for kind, (label, _) in KINDS.items())],
        },
    )


def hold(visit: Visit) -> Redirect:
    """Hold a bill, on its page."""
    hold_bill(visit.desk, visit.path["id"], visit.form.required("note"))
    return Redirect(f"/bills/{visit.path['id']}", notice="The bill is held: it is not approved before it is released.")


def release(visit: Visit) -> Redirect:
    """Release a held bill, on its page."""
    reason = visit.form.choice("reason", ReleaseReason)
    if reason is None:
        raise Refusal("invalid_request", "reason: say what was behind it", field="reason")
    release_bill(visit.desk, visit.path["id"], reason, visit.form.text("note") or "")
    return Redirect(f"/bills/{visit.path['id']}", notice="The bill is released.")


def _policy(visit: Visit) -> Html:
    account_id = visit.query.text("accountId")
    account = None if account_id is None else visit.records.get(Account, account_id)
    if account_id is not None and account is None:
        raise Refusal("not_found", f"accountId: there is no account {account_id[:40]!r}", field="accountId")
    own = policy_of(visit.records, account_id)
    return Html(
        "anomaly_policy.html",
        {
            "account": account,
            "own": own,
            "policy": policy_in_force(visit.records, account_id),
            "kinds": [(kind.value, label, meaning) for kind, (label, meaning) in KINDS.items()],
            "others": _of_accounts(visit) if account is None else (),
        },
    )


def _of_accounts(visit: Visit) -> list[tuple[str, str]]:
    """(id, name) of the accounts that have a policy of their own."""
    every = [each.value.account_id for each in visit.records.every(AnomalyPolicy)]
    names = visit.records.get_many(Account, [each for each in every if each is not None])
    return sorted(((id_, each.value.name) for id_, each in names.items()), key=lambda each: each[1])


def _save(visit: Visit) -> Redirect:
    form = visit.form
    account_id = form.text("accountId")
    given = {
        "accountId": account_id,
        "times": form.decimal("times"),
        "leastMeasurements": form.number("leastMeasurements", lowest=1, highest=10**9),
        "alertFor": form.texts("alertFor"),
        "holdFor": form.texts("holdFor"),
    }
    kept = {name: each for name, each in given.items() if each is not None}
    own = policy_of(visit.records, account_id)
    value = wire.decode(AnomalyPolicy, wire.encode(kept))
    if own is None:
        ANOMALY_POLICIES.create(visit.desk, value)
    else:
        ANOMALY_POLICIES.update(visit.desk, own.id, value, form.number("version", lowest=1, highest=2**31))
    return Redirect(_policy_path(account_id), notice="The policy is saved.")


def _remove(visit: Visit) -> Redirect:
    gone = ANOMALY_POLICIES.delete(visit.desk, visit.path["id"])
    whose = "The organisation's" if gone.value.account_id else "The usual"
    return Redirect(_policy_path(gone.value.account_id), notice=f"{whose} policy holds again.")


def _policy_path(account_id: str | None) -> str:
    return "/settings/anomalies" + (f"?accountId={account_id}" if account_id else "")


PAGES = (
    Page(method="GET", path="/holds", run=_holds, title="Held bills, and why", section="bills"),
    Page(method="GET", path="/anomalies", run=_anomalies, title="Usage out of the ordinary", section="bills"),
    Page(
        method="GET",
        path="/settings/anomalies",
        run=_policy,
        title="What is out of the ordinary, and what follows",
        section="settings",
    ),
    Page(
        method="POST",
        path="/settings/anomalies",
        run=_save,
        title="Save the policy on anomalies",
        may=May.ADMINISTER,
        section="settings",
        again=_policy,
    ),
    Page(
        method="POST",
        path="/anomalypolicies/{id}/delete",
        run=_remove,
        title="Take an anomaly policy out of use",
        may=May.ADMINISTER,
        section="settings",
    ),
)
