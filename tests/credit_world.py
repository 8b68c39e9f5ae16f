"""Accounts that hold credit, for tests of drawing: a plan, its usage, and what is held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from billing_world import ACCOUNT, Answerer, World, always, at, bands, id_of, number
from tallystick.core.catalog import Product
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.drawing import Outcome, apply_credits
from tallystick.core.entity import Entity
from tallystick.core.held import with_credits
from tallystick.core.ledger import Opening
from tallystick.core.lines import RatedLine
from tallystick.core.plan_terms import catalogue_of, plan_terms
from tallystick.core.rating import questions, rate
from tallystick.core.terms import Setting, Terms


def commitment(world: World, name: str = "commitment", **given: Any) -> Entity[Commitment]:
    """15,000 USD for the year 2023 unless said otherwise."""
    values: dict[str, Any] = {
        "account_id": id_of("account", ACCOUNT),
        "amount": Decimal(15_000),
        "currency": "USD",
        "start_date": date(2023, 1, 1),
        "end_date": date(2024, 1, 1),
    }
    return world.add(Commitment(**(values | given)), name)


def balance(world: World, name: str = "wallet", **given: Any) -> Entity[Balance]:
    """A USD wallet for the year 2023 unless said otherwise."""
    values: dict[str, Any] = {
        "account_id": id_of("account", ACCOUNT),
        "code": name,
        "name": name,
        "currency": "USD",
        "start_date": at("2023-01-01"),
        "end_date": at("2024-01-01"),
    }
    return world.add(Balance(**(values | given)), name)


def metered(price: object = 1, **pricing: Any) -> World:
    """One plan with one price for calls, billed monthly."""
    world = World()
    world.aggregation("calls")
    world.plan()
    world.pricing("price", pricing.pop("price_bands", None) or bands((0, price)), **pricing)
    world.account()
    world.account_plan()
    return world


def terms_on(world: World, day: str) -> Terms:
    """The terms of the account's bill of a day, with all credit in the world."""
    catalogue = catalogue_of(world.entities.values())
    terms = world.terms(day)
    setting = Setting(
        organization_id=world.organization_id,
        config=terms.config,
        currencies=terms.currencies,
        plan=lambda plan_id: plan_terms(catalogue, plan_id),
        products=world.of(Product),
    )
    held = [*world.of(Commitment).values(), *world.of(Balance).values()]
    return with_credits(terms, setting, [each for each in held if each.value.account_id == terms.account.id])


def rated(terms: Terms, answer: Answerer) -> tuple[RatedLine, ...]:
    """The lines of a bill before credit."""
    return rate(terms, {each: tuple(answer(each)) for each in questions(terms, 7)}, 7)


def drawn(terms: Terms, answer: Answerer | None = None, **there: object) -> Outcome:
    """The bill when of the credits, by name, this much is there; of the others nothing."""
    amounts = {_id(terms, name): number(value) for name, value in there.items()}
    return drawn_of(terms, rated(terms, answer or always(None)), amounts)


def drawn_of(terms: Terms, lines: Iterable[RatedLine], there: Mapping[str, Decimal]) -> Outcome:
    """The bill of rated lines when of the credits, by id, this much is there."""
    openings = {each.id: Opening(credit_id=each.id, value=there.get(each.id, Decimal(0))) for each in terms.credits}
    return apply_credits(terms, tuple(lines), openings)


def _id(terms: Terms, name: str) -> str:
    """The id of the commitment or balance of this name."""
    ids = {id_of(kind, name) for kind in ("commitment", "balance")}
    return next(each.id for each in terms.credits if each.id in ids)


def bill(outcome: Outcome) -> list[tuple[str, str]]:
    """(type, amount) of each line: what a bill says."""
    return [(str(line.item.line_item_type), str(line.item.converted_subtotal)) for line in outcome.lines]


def due(outcome: Outcome) -> Decimal:
    """What the customer pays."""
    return sum((line.item.converted_subtotal for line in outcome.lines), Decimal(0))
