"""Plans and versions of the catalogue as commands print them: what changes, and what it does to bills."""

from __future__ import annotations

from typing import Any

from tallystick.cli.bill import money
from tallystick.cli.printing import print_table, remark, say

SIGNS = {"CREATE": "+", "UPDATE": "~", "DELETE": "-"}
LONGEST = 60


def print_plan(plan: dict[str, Any]) -> None:
    """A plan with its changes and its effect."""
    if plan["status"] == "NO_CHANGE":
        say("The catalogue is as the files have it: nothing to change.")
        return
    say(f"Plan {plan['id']}, {plan['status']}")
    if "effectiveFrom" in plan:
        say(f"Prices change {plan['effectiveFrom']}.")
    print_changes(plan["changes"])
    _print_effect(plan)
    if plan.get("notSimulated"):
        remark(f"not in the simulation: changes of {', '.join(plan['notSimulated'])}")
    if plan.get("unnamed"):
        remark(f"without a code of their own, called by their names: {', '.join(plan['unnamed'])}")


def print_changes(changes: list[dict[str, Any]]) -> None:
    """What becomes of each entry, field by field."""
    for each in changes:
        after = " (in the place of the one that ends there)" if each.get("succeeds") else ""
        say(f"{SIGNS[each['action']]} {each['section']} {each['name']}{after}")
        for field in each["fields"]:
            if each["action"] != "DELETE":
                say(f"    {field['field'] or 'all'}: {_text(field.get('before'))} → {_text(field.get('after'))}")
        if "atOnce" in each:
            say(f"    ! {each['atOnce']}")
    count = {action: sum(each["action"] == action for each in changes) for action in SIGNS}
    say(f"{count['CREATE']} to create, {count['UPDATE']} to change, {count['DELETE']} to delete.")


def _text(value: str | None) -> str:
    if value is None:
        return "none"
    return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"


def _print_effect(plan: dict[str, Any]) -> None:
    found = plan.get("simulation")
    if found is None:
        if "simulationProblem" in plan:
            remark(f"no effect to show: {plan['simulationProblem']}")
        return
    if found["status"] != "COMPLETE":
        remark(f"the simulation {found['id']} is {found['status']}: {found.get('failure', 'look again')}")
        return
    say(f"Effect on {found['done']} bills of periods that end with {found['request']['lastDateInBillingPeriod']}")
    print_effects(found["effects"])
    if found["failed"]:
        remark(f"{found['failed']} bills cannot be compared: see the simulation {found['id']}")


def print_effects(effects: list[dict[str, Any]]) -> None:
    """Totals by currency."""
    columns = ("currency", "bills", "as it is", "would be", "difference", "rise", "fall", "same")
    rows = [
        (
            each["currency"],
            each["bills"],
            money(each["oldTotal"]),
            money(each["newTotal"]),
            money(each["difference"]),
            each["rises"],
            each["falls"],
            each["same"],
        )
        for each in effects
    ]
    print_table(columns, rows, right=columns[1:])


def print_versions(versions: list[dict[str, Any]]) -> None:
    """The history, the latest first."""
    rows = [
        (
            each["number"],
            each["dtApplied"],
            "changed otherwise" if each.get("found") else each["appliedBy"],
            each.get("approvedBy", ""),
            each.get("effectiveFrom", ""),
            len(each["changes"]),
            each.get("reason", "") + (f" (back to version {each['toVersion']})" if "toVersion" in each else ""),
        )
        for each in versions
    ]
    columns = ("version", "applied", "by", "approved by", "prices from", "changes", "why")
    print_table(columns, rows, right=("version", "changes"))


def print_version(version: dict[str, Any]) -> None:
    """One version with its changes and what was expected of it."""
    print_versions([version])
    print_changes(version["changes"])
    if version.get("effects"):
        print_effects(version["effects"])
