"""Any catalogue can be made of any other: what is applied is what was wanted, all of it or nothing, and back again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import Shop, account_body, new_desk, refused

from effort import drawing
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.catalog_history import list_versions
from tallystick.control.catalog_plans import apply_plan, keep_plan, read_plan, try_plan
from tallystick.control.catalog_stock import Stock, take_stock
from tallystick.control.desk import Desk
from tallystick.core import wire
from tallystick.core.catalog_parts import NESTED, Key, put_together
from tallystick.core.catalog_plan import CatalogPlan, CatalogPlanRequest, CatalogPlanStatus
from tallystick.core.catalog_written import shown
from tallystick.core.period import Instant
from tallystick.ports import Page, Records

Tree = dict[str, Any]
LATER = Instant.parse("2025-09-01T00:00:00Z")
UNTIL = Instant.parse("2025-06-01T00:00:00Z")
NUMBERS = st.decimals(min_value=0, max_value=1000, places=3)
FIELDS = [
    {"code": "amount", "name": "Amount", "category": "MEASURE", "unit": "each"},
    {"code": "kind", "name": "Kind", "category": "WHAT"},
]
NAMES = st.sampled_from(["A", "B", "Größe 2", "-", "yes"])


@st.composite
def catalogues(draw: st.DrawFn) -> Tree:
    """Up to three products, each with what may belong to it. What belongs to which is the same in all of them."""
    tree: Tree = {name: [] for name in SECTIONS}
    for number in sorted(draw(st.sets(st.integers(0, 2)))):
        _product(draw, tree, f"p{number}")
    plans = sorted(each["code"] for each in tree["plans"])
    for group in sorted(draw(st.sets(st.sampled_from(["g0", "g1"])))):
        members = [each for each in plans if each.endswith("a") and draw(st.booleans())]
        tree["planGroups"].append({"code": group, "name": draw(NAMES), "currency": "USD", "plans": members})
    return tree


SECTIONS = (
    "products",
    "meters",
    "aggregations",
    "compoundAggregations",
    "counters",
    "planTemplates",
    "plans",
    "planGroups",
)


def _product(draw: st.DrawFn, tree: Tree, code: str) -> None:
    tree["products"].append({"code": code, "name": draw(NAMES)})
    tree["meters"].append({"code": code, "name": draw(NAMES), "product": code, "dataFields": FIELDS})
    split = {"segmentedFields": ["kind"], "segments": [{"kind": "x"}, {"kind": "*"}]} if draw(st.booleans()) else {}
    counted = {
        "meter": code,
        "targetField": "amount",
        "aggregation": draw(st.sampled_from(["SUM", "MAX"])),
        "unit": "u",
    }
    tree["aggregations"].append({"code": f"{code}_n", "name": draw(NAMES), **counted, **split})
    if draw(st.booleans()):
        formula = f"aggregation.{code}_n * {draw(st.integers(1, 3))}"
        tree["compoundAggregations"].append({"code": f"{code}_c", "name": "C", "calculation": formula, "unit": "u"})
    counter = draw(st.booleans())
    if counter:
        tree["counters"].append({"code": code, "name": draw(NAMES), "product": code, "unit": "seat"})
    charge = {"standingCharge": draw(NUMBERS)}
    sold = {"product": code, "currency": "USD", "billFrequency": "MONTHLY"}
    tree["planTemplates"] += [{"code": f"{code}-{each}", "name": "T", **sold, **charge} for each in "xy"]
    for plan in sorted(draw(st.sets(st.sampled_from("ab")))):
        own: Tree = {
            "code": f"{code}{plan}",
            "name": draw(NAMES),
            "planTemplate": f"{code}-{draw(st.sampled_from('xy'))}",
        }
        own["pricings"] = _prices(draw, {"aggregation": f"{code}_n"}, "x" if split else None)
        if tree["compoundAggregations"] and tree["compoundAggregations"][-1]["code"] == f"{code}_c":
            own["pricings"] += _prices(draw, {"compoundAggregation": f"{code}_c"}, None)
        own["counterPricings"] = _prices(draw, {"counter": code}, None) if counter else []
        tree["plans"].append(own)


def _prices(draw: st.DrawFn, of: Tree, segment: str | None) -> list[Tree]:
    made = []
    years = sorted(draw(st.sets(st.integers(2020, 2030), max_size=3)))
    for at, year in enumerate(years):
        price = {**of, "startDate": f"{year}-01-01", "pricingBands": [{"lowerLimit": 0, "unitPrice": draw(NUMBERS)}]}
        if at + 1 < len(years):
            price["endDate"] = f"{years[at + 1]}-01-01"
        if segment and draw(st.booleans()):
            price["segment"] = {"kind": segment}
        made.append(price)
    return made


def applied(desk: Desk, tree: Tree | None, **more: Any) -> CatalogPlan:
    made = planned(desk, tree, **more)
    if made.status is not CatalogPlanStatus.NO_CHANGE:
        apply_plan(desk, made.id, at_once=True)
    return made


def planned(desk: Desk, tree: Tree | None, **more: Any) -> CatalogPlan:
    sent = None if tree is None else wire.decode(Tree, wire.encode(tree))
    return keep_plan(desk, try_plan(desk, CatalogPlanRequest(catalog=sent, **more), UNTIL).kept)


def catalog_of(desk: Desk) -> Tree:
    found: Tree = shown(put_together(take_stock(desk.records).entries))
    return found


@pytest.fixture(scope="module")
def open_desk(records: Records) -> Callable[[], Desk]:
    return lambda: new_desk(records)


@settings(**drawing(6))
@given(one=catalogues(), other=catalogues())
def test_any_catalogue_can_be_made_of_any_other_and_back(open_desk: Callable[[], Desk], one: Tree, other: Tree) -> None:
    desk = open_desk()
    applied(desk, one)
    first = take_stock(desk.records).digest
    for tree in (other, one, catalog_of(desk)):
        applied(desk, tree)
        assert planned(desk, tree).changes == (), "there is nothing left to do"
        assert planned(desk, catalog_of(desk)).changes == (), "what is pulled is found equal"
    applied(desk, one)
    assert take_stock(desk.records).digest == first


@settings(**drawing(5))
@given(one=catalogues(), other=catalogues())
def test_a_dated_change_leaves_nothing_to_do_and_can_be_taken_back(
    open_desk: Callable[[], Desk], one: Tree, other: Tree
) -> None:
    desk = open_desk()
    applied(desk, one)
    before = codes_of(take_stock(desk.records))
    applied(desk, other, effective_from=LATER)
    assert planned(desk, other, effective_from=LATER).changes == (), "there is nothing left to do"
    applied(desk, one, effective_from=LATER)
    assert planned(desk, one, effective_from=LATER).changes == ()
    assert codes_of(take_stock(desk.records)) == before


def codes_of(stock: Stock) -> set[Key]:
    """What there is beside prices, which have a history."""
    return {key for key in stock.entries if key.section not in NESTED}


FAULTS: dict[str, Tree] = {
    "a currency that is not there": {
        "planTemplates": {"code": "bad", "name": "Bad", "product": "bad", "currency": "XXX", "billFrequency": "MONTHLY"}
    },
    "a formula that is none": {
        "compoundAggregations": {"code": "bad", "name": "Bad", "calculation": "aggregation.nothing", "unit": "u"}
    },
    "an account that is not there": {
        "planGroups": {"code": "bad", "name": "Bad", "currency": "USD", "account": "nobody"}
    },
}


@settings(**drawing(6))
@given(one=catalogues(), other=catalogues(), fault=st.sampled_from(sorted(FAULTS)))
def test_when_one_change_is_refused_nothing_is_kept(
    open_desk: Callable[[], Desk], one: Tree, other: Tree, fault: str
) -> None:
    desk = open_desk()
    applied(desk, one)
    before = (take_stock(desk.records).digest, desk.records.revision)
    bad = {**other, "products": [*other["products"], {"code": "bad", "name": "Bad"}]}
    for section, entry in FAULTS[fault].items():
        bad[section] = [*bad[section], entry]
    assert "bad" in refused(lambda: planned(desk, bad)).message
    assert (take_stock(desk.records).digest, desk.records.revision) == before


def test_a_plan_whose_rules_no_longer_hold_is_taken_back_whole(open_desk: Callable[[], Desk]) -> None:
    """Nothing changed of the catalogue, but the account that a group is for is gone."""
    desk = open_desk()
    account = Shop.read(ACCOUNTS, account_body("acme"))
    id_ = ACCOUNTS.create(desk, account).id
    group = {"code": "g", "name": "G", "currency": "USD", "account": "acme"}
    made = planned(desk, {"products": [{"code": "a", "name": "A"}], "planGroups": [group]})
    ACCOUNTS.delete(desk, id_)
    before = (take_stock(desk.records).digest, desk.records.revision)
    assert refused(lambda: apply_plan(desk, made.id)).code.name == "unknown_reference"
    assert (take_stock(desk.records).digest, desk.records.revision) == before
    assert list_versions(desk.records, Page()).rows == ()
    assert read_plan(desk.records, made.id).status is CatalogPlanStatus.PLANNED
