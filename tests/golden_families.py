"""Stories of parents with children, and of usage that came after its bill; `golden_bills` keeps their bills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from billing_world import ACCOUNT, Answerer, World, always, bands, id_of, lines_of, measured
from tallystick.core.account import ChildBillingMode
from tallystick.core.adjustment import adjustment_lines
from tallystick.core.aggregation import Measured, Question
from tallystick.core.bill import EarlierBill
from tallystick.core.rating import RatedLine
from tallystick.core.terms import Terms

Built = tuple[Terms, tuple[RatedLine, ...]]


@dataclass(frozen=True)
class FamilyStory:
    """One bill: who agreed to what, what was used, what it comes to."""

    name: str
    told: str
    total: str
    build: Callable[[], Built]

    def bill(self) -> Built:
        return self.build()


def by_account(used: Mapping[str, int]) -> Answerer:
    """What each account used: of a pool all together in one row, else a row each."""

    def answer(question: Question) -> list[Measured]:
        codes = {id_of("account", code): amount for code, amount in used.items()}
        asked = [codes[each] for each in question.accounts or () if each in codes]
        if question.pooled:
            return [measured(question, sum(asked), count=len(asked))]
        return [
            Measured(account_id=each, total=Decimal(codes[each]), count=1)
            for each in question.accounts or ()
            if each in codes
        ]

    return answer


def _family(mode: ChildBillingMode) -> Callable[[], Built]:
    def build() -> Built:
        world = World()
        world.template(standing_charge=Decimal("20.00"))
        world.aggregation("API calls")
        world.plan()
        world.pricing("price", bands((0, "0.10"), (1000, "0.05")), cumulative=True)
        world.account()
        world.account_plan(child_billing_mode=mode)
        for child in ("east", "west"):
            world.account(child, parent_account_id=id_of("account", ACCOUNT))
        terms = world.terms("2023-11-10")
        return terms, lines_of(terms, by_account({ACCOUNT: 250, "east": 1000, "west": 250}))

    return build


def _late() -> Built:
    """January was billed with 800 calls and locked; 400 more came in February, in which 50 were made."""
    world = World()
    world.aggregation("API calls")
    world.template(minimum_spend=Decimal("100.00"))
    world.plan()
    world.pricing("price", bands((0, "0.10"), (1000, "0.05")), cumulative=True)
    world.account()
    world.account_plan()
    january, february = world.terms("2023-01-10"), world.terms("2023-02-10")
    earlier = EarlierBill(
        bill_id=january.bill_id,
        version=3,
        currency=january.currency,
        billing_frequency=january.of.frequency,
        bill_frequency_interval=january.of.interval,
        period=january.period,
        uses=(),
        parameters=january.parameters,
        up_to=7,
        then=(),
        now=(),
    )
    lines = lines_of(february, always(50))
    then, now = lines_of(january, always(800)), lines_of(january, always(1200))
    return february, (*lines, *adjustment_lines(february, earlier, then, now, len(lines) + 1))


FAMILY_STORIES = (
    FamilyStory(
        "children_breakdown",
        "1,500 calls of a parent and two children, tiered together: 125.00, split by what each used, to the cent.",
        "145.00",
        _family(ChildBillingMode.PARENT_BREAKDOWN),
    ),
    FamilyStory(
        "children_summary",
        "1,500 calls of a parent and two children, tiered together, on one line.",
        "145.00",
        _family(ChildBillingMode.PARENT_SUMMARY),
    ),
    FamilyStory(
        "late_usage",
        "50 calls and a minimum of 100; and 400 calls of January, locked with 800: 110.00 is now above its minimum.",
        "110.00",
        _late,
    ),
)
