"""Candidates: changes of the catalogue that are tried and not kept, and prices that are published from a day on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from shop import NOWHERE, Shop

from tallystick.control.candidates import publish, try_candidate
from tallystick.control.pricings import PRICINGS
from tallystick.core import wire
from tallystick.core.catalog import Plan, Pricing
from tallystick.core.period import Instant
from tallystick.core.simulation import Candidate
from tallystick.errors import Refusal
from tallystick.ports import AuditWhere, Page

JULY = Instant.parse("2025-07-01T00:00:00Z")
BANDS = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": "0.5"}]


def candidate(**given: object) -> Candidate:
    return wire.decode(Candidate, wire.encode(given))


def dearer(shop: Shop, id: str, **more: object) -> dict[str, Any]:
    """A pricing of the shop with other bands, as the wire has it."""
    stored = wire.decode(dict[str, Any], wire.encode(PRICINGS.retrieve(shop.desk.records, id).value))
    return stored | {"id": id, "pricingBands": BANDS} | more


def test_what_is_tried_is_complete_and_not_kept(shop: Shop) -> None:
    price = shop.price()
    gone = shop.price(startDate="2024-01-01T00:00:00Z", endDate="2025-01-01T00:00:00Z")
    records = shop.desk.records
    before = records.revision, len(records.audit(AuditWhere(), Page()).rows), list(records.every(Pricing))
    changes = try_candidate(
        shop.desk,
        candidate(
            plans=[{"id": shop.plan, "standingCharge": 7}],
            pricings=[dearer(shop, price), {**dearer(shop, gone), "id": None, "startDate": "2023-06-01T00:00:00Z"}],
            removedPricingIds=[gone],
        ),
    )
    (plan,) = changes.plans
    assert (plan.id, plan.value.standing_charge, plan.value.name) == (shop.plan, Decimal(7), "Basic")
    first, second = changes.pricings
    assert first.id == price != second.id
    assert [band.unit_price for band in first.value.pricing_bands] == [Decimal("0.5")]
    assert all(band.id for band in first.value.pricing_bands), "as a kept one has"
    assert changes.removed_pricing_ids == (gone,)
    assert before == (records.revision, len(records.audit(AuditWhere(), Page()).rows), list(records.every(Pricing)))
    plan_now = records.get(Plan, shop.plan)
    assert plan_now is not None
    assert plan_now.value.standing_charge is None


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (
            {"removedPricingIds": [NOWHERE]},
            "unknown_reference",
            "candidate.removedPricingIds[0]: id: there is no pricing",
        ),
        ({"plans": [{"id": NOWHERE}]}, "unknown_reference", "candidate.plans[0]: id: there is no plan"),
        ({"pricings": [{"id": None}]}, "rule_broken", "is for the same usage"),
        ({"pricings": [{"version": 3}]}, "version_mismatch", "candidate.pricings[0]: version: the pricing is at"),
        (
            {"pricings": [{"planId": None, "planTemplateId": "template"}]},
            "rule_broken",
            "stays on its plan or template",
        ),
        ({"pricings": [{"segment": {"kind": "x"}}]}, "rule_broken", "is no segment of the aggregation"),
    ],
)
def test_a_candidate_that_could_not_be_kept_is_refused(
    shop: Shop, change: dict[str, Any], code: str, said: str
) -> None:
    price = shop.price()
    body = {**change, "pricings": [dearer(shop, price) | each for each in change.get("pricings", ())]}
    for each in body["pricings"]:
        if each.get("planTemplateId"):
            each["planTemplateId"] = shop.template
    with pytest.raises(Refusal) as refused:
        try_candidate(shop.desk, candidate(**body))
    assert refused.value.code.name == code
    assert said in refused.value.message


def test_published_prices_begin_on_the_day_and_the_others_end_there(shop: Shop) -> None:
    price = shop.price(endDate="2026-01-01T00:00:00Z")
    before = PRICINGS.retrieve(shop.desk.records, price).value
    (made,) = publish(shop.desk, candidate(pricings=[dearer(shop, price, version=1)]), JULY)
    ended = PRICINGS.retrieve(shop.desk.records, price)
    assert (ended.value.end_date, ended.value.pricing_bands, ended.version) == (JULY, before.pricing_bands, 2)
    assert (made.value.start_date, made.value.end_date) == (JULY, before.end_date)
    assert [band.unit_price for band in made.value.pricing_bands] == [Decimal("0.5")]


@pytest.mark.parametrize("name", ["too early", "nothing new", "a plan", "another version", "one of two"])
def test_what_cannot_be_published_changes_nothing(shop: Shop, name: str) -> None:
    price = shop.price()
    new = {**dearer(shop, price), "id": None, "aggregationId": NOWHERE}
    stored = wire.decode(dict[str, Any], wire.encode(PRICINGS.retrieve(shop.desk.records, price).value))
    asked, start, said = {
        "too early": ({"pricings": [dearer(shop, price)]}, Instant.parse("2025-01-01T00:00:00Z"), "must be after"),
        "nothing new": ({"pricings": [stored | {"id": price}]}, JULY, "nothing to publish"),
        "a plan": ({"plans": [{"id": shop.plan, "standingCharge": 1}]}, JULY, "change them on the plan itself"),
        "another version": ({"pricings": [dearer(shop, price, version=4)]}, JULY, "at version 1"),
        "one of two": ({"pricings": [dearer(shop, price), new]}, JULY, "candidate.pricings[1]: aggregationId"),
    }[name]
    with pytest.raises(Refusal, match=said.replace("[", r"\[")):
        publish(shop.desk, candidate(**asked), start)
    assert [each.version for each in shop.desk.records.every(Pricing)] == [1]
