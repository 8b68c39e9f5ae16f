"""Candidates: changes of the catalogue that are held to its rules, and not kept.

A candidate is tried by keeping it and taking it back again: the rules are those of the acts that would keep it, in one
transaction that is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import msgspec

from tallystick.control.desk import Desk, rule_broken
from tallystick.control.plans import PLANS
from tallystick.control.pricings import PRICINGS, require_within, succeed_within
from tallystick.core.catalog import Pricing
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.simulation import Candidate, ChangedPlan, ChangedPricing, Changes
from tallystick.errors import Refusal
from tallystick.ports import Transaction


class _TakenBack(Exception):
    """Rolls the transaction back, with what would have been kept."""

    def __init__(self, changes: Changes) -> None:
        super().__init__("nothing is kept")
        self.changes = changes


def try_candidate(desk: Desk, candidate: Candidate) -> Changes:
    """What would be kept of a candidate. Nothing is. Refusals: those of changing the plans and pricings, with the
    place in the candidate."""
    try:
        with desk.records.transaction() as write:
            _take_back(_kept(desk, write, candidate))
    except _TakenBack as taken_back:
        return taken_back.changes


def _take_back(changes: Changes) -> NoReturn:
    raise _TakenBack(changes)


def publish(desk: Desk, candidate: Candidate, start: Instant) -> list[Entity[Pricing]]:
    """Keep the prices of a candidate from a moment on, in one transaction: prices that change end there and others
    begin, so that bills of the time before stay as they are. Prices that are as they were are passed over. Answers the
    prices that begin. Refusals: `rule_broken` where the moment is not within a price, where nothing changes, and for
    charges of plans, which have no date; `version_mismatch`; and those of changing the pricings."""
    if candidate.plans:
        message = "the charges of a plan hold at once and for all its time; change them on the plan itself"
        raise rule_broken("candidate.plans", message)
    ended, made = 0, []
    with desk.records.transaction() as write:
        for number, id_ in enumerate(candidate.removed_pricing_ids):
            with _place(f"candidate.removedPricingIds[{number}]"):
                before = PRICINGS.retrieve(write, id_)
                require_within(before.value, start)
                value = msgspec.structs.replace(before.value, end_date=start)
                PRICINGS.update_within(desk, write, before, value, None)
                ended += 1
        for number, each in enumerate(candidate.pricings):
            with _place(f"candidate.pricings[{number}]"):
                if each.id is None:
                    value = msgspec.structs.replace(each.pricing, start_date=start)
                    made.append(PRICINGS.create_within(desk, write, value, desk.new_id()))
                elif PRICINGS.retrieve(write, each.id).value != each.pricing:
                    made.append(succeed_within(desk, write, each.id, start, each.pricing, each.version))
        if not made and not ended:
            raise rule_broken("candidate", "no price is other than it is: there is nothing to publish")
    return made


def _kept(desk: Desk, write: Transaction, candidate: Candidate) -> Changes:
    """Make the changes, those that are taken away first: what comes may stand in their place."""
    for number, id_ in enumerate(candidate.removed_pricing_ids):
        with _place(f"candidate.removedPricingIds[{number}]"):
            write.remove(PRICINGS.retrieve(write, id_), at=desk.now, by=desk.actor.id)
    plans, pricings = [], []
    for number, plan in enumerate(candidate.plans):
        with _place(f"candidate.plans[{number}]"):
            before = PLANS.retrieve(write, plan.id)
            try:
                value = plan.on(before.value)
            except ValueError as problem:
                raise Refusal("invalid_request", str(problem)) from None
            kept = PLANS.update_within(desk, write, before, value, None)
        plans.append(ChangedPlan(id=kept.id, value=kept.value))
    for number, each in enumerate(candidate.pricings):
        with _place(f"candidate.pricings[{number}]"):
            if each.id is None:
                made = PRICINGS.create_within(desk, write, each.pricing, desk.new_id())
            else:
                old = PRICINGS.retrieve(write, each.id)
                if old.value.plan_id != each.plan_id or old.value.plan_template_id != each.plan_template_id:
                    raise rule_broken("planId", "a pricing stays on its plan or template; leave id out for a new one")
                made = PRICINGS.update_within(desk, write, old, each.pricing, each.version)
        pricings.append(ChangedPricing(id=made.id, value=made.value))
    return Changes(plans=tuple(plans), pricings=tuple(pricings), removed_pricing_ids=candidate.removed_pricing_ids)


@contextmanager
def _place(place: str) -> Iterator[None]:
    """Says in refusals where in the candidate they come from."""
    try:
        yield
    except Refusal as problem:
        code = "unknown_reference" if problem.code.name == "not_found" else problem.code.name
        raise Refusal(code, f"{place}: {problem.message}", field=place) from None
