"""Notification rules as people keep them; their formulas are checked when they are saved."""

from __future__ import annotations

from tallystick.control.desk import Draft, Noun, rule_broken
from tallystick.control.events import all_event_fields
from tallystick.core.expression import ExpressionError, Type, check, parse, references
from tallystick.core.notification import NotificationConfiguration

_TYPES = {"String": Type.TEXT, "Number": Type.NUMBER, "Boolean": Type.BOOLEAN}
_CUSTOM = ("new.customFields.", "old.customFields.")


def formula_problem(event_name: str, calculation: str) -> str | None:
    """What is wrong with a formula over events of a name: with its place, or None where nothing is."""
    try:
        tree = parse(calculation)
        fields = all_event_fields().get(event_name, {})
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
    if value.event_name not in all_event_fields() and not value.event_name.startswith("scheduled."):
        what = f"there is no event {value.event_name[:80]!r}; events/types lists them"
        raise rule_broken("eventName", what)
    if value.calculation and not value.event_name.startswith("scheduled."):
        problem = formula_problem(value.event_name, value.calculation)
        if problem is not None:
            raise rule_broken("calculation", problem)
    return value


NOTIFICATIONS = Noun(of=NotificationConfiguration, check=_rules)
