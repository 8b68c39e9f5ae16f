"""A shop: an organisation with a catalogue that is in order, and quick ways to add to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from tallystick.control.account_plans import ACCOUNT_PLANS
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.aggregations import AGGREGATIONS
from tallystick.control.desk import Desk, Noun
from tallystick.control.meters import METERS
from tallystick.control.organization_config import initialise
from tallystick.control.plan_templates import PLAN_TEMPLATES
from tallystick.control.plans import PLANS
from tallystick.control.pricings import PRICINGS
from tallystick.control.products import PRODUCTS
from tallystick.core import wire
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Actor, Organization, Records

NOW = Instant.parse("2025-06-15T12:00:00Z")
NOWHERE = "00000000-0000-4000-8000-000000000000"


_numbers = count(1)


def new_desk(records: Records) -> Desk:
    """A desk in a new organisation; its ids are counted, so that a failure reads the same each time."""
    number = next(_numbers)
    ids = count(1)
    organization_id = f"00000000-0000-4000-9000-{number:012d}"
    records.add_organization(Organization(id=organization_id, name=f"Organization {number}", created=NOW))
    initialise(records.organization(organization_id), "USD", NOW)
    return Desk(
        records=records.organization(organization_id),
        actor=Actor(id="someone", kind="SERVICE_USER", scopes=("all",)),
        now=NOW,
        new_id=lambda: f"{number:08d}-0000-4000-a000-{next(ids):012d}",
    )


class Shop:
    """A catalogue that is in order, and quick ways to add to it. Bodies are written as on the wire."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.product = self.make(PRODUCTS, name="Storage", code="storage")
        self.meter = self.make(METERS, **meter_body(productId=self.product))
        self.aggregation = self.make(AGGREGATIONS, **aggregation_body(meterId=self.meter))
        self.template = self.make(PLAN_TEMPLATES, **template_body(productId=self.product))
        self.plan = self.make(PLANS, name="Basic", code="basic", planTemplateId=self.template)
        self.account = self.make(ACCOUNTS, **account_body("acme"))

    def make(self, noun: Noun[Any], **body: object) -> str:
        """Create from a body as it would arrive, and give the id."""
        return noun.create(self.desk, self.read(noun, body)).id

    def change(self, noun: Noun[Any], id: str, **body: object) -> None:
        """Update some fields of an entity and keep the others."""
        stored = wire.decode(dict[str, Any], wire.encode(noun.retrieve(self.desk.records, id).value))
        noun.update(self.desk, id, self.read(noun, {**stored, **body}), None)

    def price(self, **body: object) -> str:
        return self.make(PRICINGS, **pricing_body(**{"planId": self.plan, "aggregationId": self.aggregation, **body}))

    def attach(self, **body: object) -> str:
        start = {"startDate": "2025-01-01T00:00:00Z"}
        return self.make(ACCOUNT_PLANS, **{"accountId": self.account, "planId": self.plan, **start, **body})

    @staticmethod
    def read(noun: Noun[Any], body: object) -> Any:
        return wire.decode(noun.of, wire.encode(body))

    def later(self, when: str) -> None:
        self.desk = replace(self.desk, now=Instant.parse(when))


def meter_body(**changes: object) -> dict[str, object]:
    fields = [
        {"code": "bytes", "name": "Bytes", "category": "MEASURE", "unit": "By"},
        {"code": "region", "name": "Region", "category": "WHERE"},
        {"code": "tier", "name": "Tier", "category": "WHAT"},
        {"code": "file", "name": "File", "category": "METADATA"},
    ]
    return {"name": "Traffic", "code": "traffic", "dataFields": fields, "derivedFields": [], **changes}


def aggregation_body(**changes: object) -> dict[str, object]:
    body = {
        "name": "Bytes stored",
        "code": "bytes_stored",
        "targetField": "bytes",
        "aggregation": "SUM",
        "quantityPerUnit": 1,
        "rounding": "NONE",
        "unit": "By",
    }
    return {**body, **changes}


def template_body(**changes: object) -> dict[str, object]:
    body = {"name": "Monthly", "code": "monthly", "currency": "USD", "billFrequency": "MONTHLY", "standingCharge": 20}
    return {**body, **changes}


def account_body(code: str, **changes: object) -> dict[str, object]:
    return {"name": code.title(), "code": code, "emailAddress": f"billing@{code}.example", **changes}


def pricing_body(**changes: object) -> dict[str, object]:
    bands = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 0.25}]
    return {"pricingBands": bands, "startDate": "2025-01-01T00:00:00Z", **changes}


def refused(act: Callable[[], object]) -> Refusal:
    """Run an act that must be refused and give the refusal."""
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value
