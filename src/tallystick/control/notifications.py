"""Notification rules as people keep them; their formulas are checked when they are saved."""

from __future__ import annotations

from tallystick.control.desk import Draft, Noun, rule_broken
from tallystick.control.events import all_event_fields
from tallystick.core.event import noun_of
from tallystick.core.expression import ExpressionError, Type, check, parse, references
from tallystick.core.notification import NotificationConfiguration

_TYPES = {"String": Type.TEXT, "Number": Type.NUMBER, "Boolean": Type.BOOLEAN}
SCHEDULED = "scheduled."
_CUSTOM = ("new.customFields.", "old.customFields.")


def fields_of_event(event_name: str) -> dict[str, str] | None:
    """What events of a name say; scheduled ones show their entity as it is. None where there is no such event."""
    every = all_event_fields()
    if event_name.startswith(SCHEDULED):
        about = noun_of(event_name)
        return every.get(f"configuration.{about}.created") or every.get(f"billing.{about}.created")
    return every.get(event_name)


def formula_problem(event_name: str, calculation: str) -> str | None:
    """What is wrong with a formula over events of a name: with its place, or None where nothing is."""
    try:
        tree = parse(calculation)
        fields = fields_of_event(event_name) or {}
        types = {name: _TYPES[kind] for name, kind in fields.items()}
        types |= {name: Type.ANY for name in references(tree) if name.startswith(_CUSTOM)}
        kind = check(tree, types)
    except ExpressionError as error:
        return f"{error} (fields are named new.<field> and old.<field>; events/fields lists them)"
    if kind not in {Type.BOOLEAN, Type.ANY}:
        return f"must be true or false, such as new.amount > 100; it gives a {kind}"
    return None


def _rules(draft: Draft[NotificationConfiguration]) -> NotificationConfiguration:
    value = draft.value
    if fields_of_event(value.event_name) is None:
        what = f"there is no event {value.event_name[:80]!r}; events/types lists them"
        raise rule_broken("eventName", what)
    if value.calculation:
        problem = formula_problem(value.event_name, value.calculation)
        if problem is not None:
            raise rule_broken("calculation", problem)
    return value


NOTIFICATIONS = Noun(of=NotificationConfiguration, check=_rules)
