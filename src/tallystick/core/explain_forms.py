"""Forms of price, limits and discounts in plain English: the clauses and steps that `explain` tells them by."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tallystick.core.quantity import multiply, subtract
from tallystick.core.wording import instant, money, number
from tallystick.core.working import Chosen, Discounted, Protected
from tallystick.core.working_forms import (
    Allowed,
    EventGroup,
    Limited,
    LookedUp,
    OverMaximum,
    Packaged,
    PerEvent,
    ShareOf,
)

Tell = Callable[[Any], str]  # Any: each tells the step it is listed under


def _allowed_clause(step: Allowed) -> str:
    return f"less {number(subtract(step.units, step.charged))} free leaves {number(step.charged)}"


def _allowed(step: Allowed) -> str:
    free = number(subtract(step.units, step.charged))
    charged = f"{number(step.charged)} are charged"
    return f"{number(step.allowance)} units are free: of {number(step.units)}, {free}; {charged}."


def _packaged_clause(step: Packaged) -> str:
    return f"{number(step.packages)} started packages of {number(step.size)}"


def _packaged(step: Packaged) -> str:
    packages = f"in packages of {number(step.size)}, each started one counts: {number(step.packages)}"
    return f"{number(step.units)} units {packages}."


def _where(step: LookedUp) -> str:
    return ", ".join(f"{name} = {value}" for name, value in step.dimensions.items())


def _looked_up_clause(step: LookedUp) -> str:
    if step.default:
        return f"at the default rate, as there is none for {_where(step)}"
    return f"at the rate for {_where(step)}"


def _looked_up(step: LookedUp) -> str:
    how = "has no rate of its own: the default rate is" if step.default else "costs"
    return f"{_where(step)} {how} {money(step.unit_price)} a unit."


def _share_of_clause(step: ShareOf) -> str:
    return f"{number(step.percent)}% of it"


def _share_of(step: ShareOf) -> str:
    return f"{number(step.percent)}% is {number(step.unit_price)} for each unit."


def _groups(step: PerEvent) -> list[str]:
    found = []
    if step.least is not None:
        found.append(f"{_events(step.least)} at the minimum of {money(step.least.fixed)} = {money(step.least.amount)}")
    if step.share is not None:
        fixed = f" + {step.share.events:,} × {money(step.share.fixed)}" if step.share.fixed else ""
        how = f"{number(step.share.units)} × {number(step.share.unit_price)}{fixed} = {money(step.share.amount)}"
        found.append(f"{_events(step.share)} at {how}")
    if step.most is not None:
        found.append(f"{_events(step.most)} at the maximum of {money(step.most.fixed)} = {money(step.most.amount)}")
    return found


def _events(group: EventGroup) -> str:
    return "1 event" if group.events == 1 else f"{group.events:,} events"


def _per_event_clause(step: PerEvent) -> str:
    groups = _groups(step)
    if not groups:
        return "no events, which is 0.00"
    return groups[0] if len(groups) == 1 else f"{', '.join(groups)}, together {money(step.amount)}"


def _per_event(step: PerEvent) -> str:
    share = f"{number(multiply(step.unit_price, Decimal(100)))}%"
    terms = f"{share} + {money(step.fixed)}" if step.fixed else share
    for word, limit in (("at least", step.minimum), ("at most", step.maximum)):
        terms += f", {word} {money(limit)}" if limit is not None else ""
    groups = "; ".join(_groups(step)) or "there are none"
    return f"Each event is charged {terms}: {groups}; together {money(step.amount)}."


def _limited_clause(step: Limited) -> str:
    before = f", of which {money(step.before)} is charged already" if step.before else ""
    return f"at most {money(step.maximum)}{before}, so {money(step.amount)}"


def _limited(step: Limited) -> str:
    before = f"; {money(step.before)} is charged on other lines" if step.before else ""
    limit = f"At most {money(step.maximum)} is charged for the billing period{before}"
    return f"{limit}: of {money(step.exact)}, {money(step.amount)} is."


def _over_maximum_clause(step: OverMaximum) -> str:
    return f"charges of {money(step.charges)} come to {money(step.maximum)} at most"


def _over_maximum(step: OverMaximum) -> str:
    charges = f"Maximum {money(step.maximum)}, charges {money(step.charges)}"
    return f"{charges}: {money(step.amount.copy_abs())} is taken off."


def _discounted_clause(step: Discounted) -> str:
    if step.percent is not None:
        return f"{number(step.percent)}% of {money(step.base)} off"
    days = "" if step.days == step.of_days else f" for {step.days}/{step.of_days} days"
    return f"{money(step.full or step.amount)}{days} off charges of {money(step.base)}"


def _discounted(step: Discounted) -> str:
    if step.percent is not None:
        return f"{number(step.percent)}% of the charges in its time, {money(step.base)}: {money(step.amount)} off."
    days = "" if step.days == step.of_days else f" for {step.days} of {step.of_days} days"
    full = f"{money(step.full or step.amount)} off{days}"
    return f"{full}, at most the charges of {money(step.base)}: {money(step.amount)} off."


def _protected_clause(step: Protected) -> str:
    return f"charges of {money(step.own)} may be {money(step.limit)} at most, {number(step.percent)}% above a baseline"


def _protected(step: Protected) -> str:
    baseline = f"{number(step.percent)}% above the baseline of {money(step.baseline)} {step.currency}"
    days = "" if step.days == step.of_days else f" for {step.days} of {step.of_days} days"
    own = f"charges are {money(step.own)}"
    if step.days != step.served_days:
        own += f" (of {money(step.charges)} for {step.served_days} days)"
    return f"At most {money(step.limit)}{days}, {baseline}; {own}: {money(step.amount.copy_abs())} is taken off."


def _chosen_clause(step: Chosen) -> str:
    return f"as {step.condition}"


def _chosen(step: Chosen) -> str:
    values = ", ".join(f"{each.name} = {'null' if each.value is None else number(each.value)}" for each in step.inputs)
    window = f"from {instant(step.start)} up to {instant(step.end)}"
    return f"This price holds as {step.condition}, {window}, with {values}."


CLAUSES: dict[type, Tell] = {
    Allowed: _allowed_clause,
    Chosen: _chosen_clause,
    Packaged: _packaged_clause,
    LookedUp: _looked_up_clause,
    ShareOf: _share_of_clause,
    PerEvent: _per_event_clause,
    Limited: _limited_clause,
    OverMaximum: _over_maximum_clause,
    Discounted: _discounted_clause,
    Protected: _protected_clause,
}
STEPS: dict[type, Tell] = {
    Allowed: _allowed,
    Chosen: _chosen,
    Packaged: _packaged,
    LookedUp: _looked_up,
    ShareOf: _share_of,
    PerEvent: _per_event,
    Limited: _limited,
    OverMaximum: _over_maximum,
    Discounted: _discounted,
    Protected: _protected,
}
