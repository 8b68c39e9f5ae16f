"""A catalogue as entries: taken stock of, changed by entries, in one transaction, whatever order the rules want."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from shop import Shop, meter_body, refused

from tallystick.control.anomalies import ANOMALY_POLICIES
from tallystick.control.catalog_apply import NOUNS, Made, apply_entries
from tallystick.control.catalog_stock import take_stock
from tallystick.control.counter_pricings import COUNTER_PRICINGS
from tallystick.control.counters import COUNTERS
from tallystick.control.late_policies import LATE_POLICIES
from tallystick.control.meters import METERS
from tallystick.control.plan_group_links import PLAN_GROUP_LINKS
from tallystick.control.plan_groups import PLAN_GROUPS
from tallystick.control.plans import PLANS
from tallystick.core import wire
from tallystick.core.catalog import Pricing
from tallystick.core.catalog_change import changes_of, within
from tallystick.core.catalog_parts import PARTS, SINGLE, Part, put_together, spoken_of, taken_apart
from tallystick.core.catalog_reading import read_entries
from tallystick.core.catalog_written import shown
from tallystick.errors import Refusal

Tree = dict[str, Any]
BAND = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 3}]


def tree_of(shop: Shop) -> Tree:
    """The catalogue as files would have it."""
    stock = take_stock(shop.desk.records)
    return wire.decode(Tree, wire.encode(shown(put_together(stock.entries))))


def apply(shop: Shop, tree: Tree) -> list[Made]:
    catalog, problems = read_entries(tree)
    assert not problems
    placed = {each.key: each for each in taken_apart(catalog)}
    with shop.desk.records.transaction() as write:
        stock = take_stock(write)
        rest = {
            key: each for key, each in stock.entries.items() if key not in within(stock.entries, spoken_of(catalog))
        }
        target = rest | {key: each.entry for key, each in placed.items()}
        return apply_entries(shop.desk, write, stock, target, lambda key: placed[key].place if key in placed else "")


@pytest.fixture
def full(shop: Shop) -> Shop:
    """Something of every section."""
    shop.price()
    shop.price(planId=None, planTemplateId=shop.template, startDate="2024-01-01T00:00:00Z")
    seats = shop.make(COUNTERS, name="Seats", unit="seats", productId=shop.product)
    start = {"startDate": "2025-01-01T00:00:00Z"}
    shop.make(COUNTER_PRICINGS, counterId=seats, planId=shop.plan, pricingBands=BAND, **start)
    shop.make(
        PLANS, name="For acme", code="bespoke", planTemplateId=shop.template, bespoke=True, accountId=shop.account
    )
    group = shop.make(PLAN_GROUPS, name="Bundle", currency="USD", accountingProductId=None)
    shop.make(LATE_POLICIES, meterId=shop.meter, graceHours=12)
    shop.make(ANOMALY_POLICIES, accountId=shop.account, times=5, holdFor=["SPIKE"])
    shop.make(PLAN_GROUP_LINKS, planGroupId=group, planId=shop.plan)
    return shop


def test_a_catalogue_is_entries_named_by_codes_and_has_no_ids(full: Shop) -> None:
    tree = tree_of(full)
    assert set(tree) == {
        "settings",
        "customFields",
        "currencies",
        "lookupTables",
        "products",
        "meters",
        "aggregations",
        "compoundAggregations",
        "counters",
        "planTemplates",
        "plans",
        "planGroups",
        "latePolicies",
        "anomalyPolicies",
    }
    (basic, bespoke) = tree["plans"]
    assert basic == {
        "code": "basic",
        "name": "Basic",
        "planTemplate": "monthly",
        "pricings": [
            {
                "aggregation": "bytes_stored",
                "startDate": "2025-01-01T00:00:00Z",
                "pricingBands": [{"lowerLimit": 0, "unitPrice": wire.number("0.25")}],
            }
        ],
        "counterPricings": [
            {
                "counter": "seats",
                "startDate": "2025-01-01T00:00:00Z",
                "pricingBands": [{"lowerLimit": 0, "unitPrice": 3}],
            }
        ],
    }
    assert (bespoke["account"], bespoke["bespoke"]) == ("acme", True)
    assert tree["planGroups"] == [{"code": "bundle", "name": "Bundle", "currency": "USD", "plans": ["basic"]}]
    assert tree["latePolicies"] == [{"meter": "traffic", "graceHours": 12}]
    assert tree["anomalyPolicies"] == [{"account": "acme", "times": 5, "holdFor": ["SPIKE"]}]
    stock = take_stock(full.desk.records)
    assert {str(key) for key in stock.unnamed} == {"counters seats", "planGroups bundle"}, "called by their names"
    text = wire.encode(tree).decode()
    assert not [id_ for id_ in (full.product, full.meter, full.plan, full.account) if id_ in text]


def test_what_was_read_is_found_equal(full: Shop) -> None:
    stock = take_stock(full.desk.records)
    revision = full.desk.records.revision
    assert apply(full, tree_of(full)) == []
    assert take_stock(full.desk.records).digest == stock.digest
    assert full.desk.records.revision == revision, "nothing is written"


def edit_price(tree: Tree) -> None:
    tree["plans"][0]["pricings"][0]["pricingBands"][0]["unitPrice"] = wire.number("0.30")


def new_template(tree: Tree) -> None:
    """The plans move to a new template, and the old one goes."""
    tree["planTemplates"] = [{**tree["planTemplates"][0], "code": "yearly", "standingCharge": 7, "pricings": []}]
    for plan in tree["plans"]:
        plan["planTemplate"] = "yearly"


def new_field(tree: Tree) -> None:
    """The meter has another field, which the aggregation counts from now on, and loses one that nothing counts."""
    fields = tree["meters"][0]["dataFields"]
    fields[-1] = {**fields[0], "code": "octets", "name": "Octets"}
    tree["aggregations"][0]["targetField"] = "octets"


def all_new(tree: Tree) -> None:
    """A product with all that belongs to it, in one go."""
    tree["products"].append({"code": "mail", "name": "Mail"})
    tree["meters"].append(
        {"code": "mails", "name": "Mails", "product": "mail", "dataFields": meter_body()["dataFields"]}
    )
    more = {
        "code": "mails",
        "name": "Mails",
        "meter": "mails",
        "targetField": "bytes",
        "aggregation": "SUM",
        "unit": "m",
    }
    tree["aggregations"].append(more)
    tree["compoundAggregations"].append(
        {"code": "twice", "name": "Twice", "calculation": "aggregation.mails * 2", "unit": "m"}
    )
    tree["planTemplates"].append(
        {"code": "mail", "name": "Mail", "product": "mail", "currency": "USD", "billFrequency": "MONTHLY"}
    )
    price = {"compoundAggregation": "twice", "startDate": "2025-01-01T00:00:00Z", "percent": 5}
    tree["plans"].append({"code": "mail", "name": "Mail", "planTemplate": "mail", "pricings": [price]})
    tree["planGroups"][0]["plans"].append("mail")
    tree["planGroups"][0]["code"] = "bundle"


def other_policies(tree: Tree) -> None:
    """Those of the organisation come, that of the meter goes."""
    tree["latePolicies"] = [{"graceHours": 24}]
    tree["anomalyPolicies"] += [{"times": 4}]


def less(tree: Tree) -> None:
    """What nobody uses goes, with its prices."""
    tree["planGroups"] = []
    tree["plans"] = tree["plans"][1:]
    tree["counters"] = []


@pytest.mark.parametrize("edit", [edit_price, new_template, new_field, all_new, other_policies, less])
def test_a_changed_catalogue_is_as_it_was_written(full: Shop, edit: Callable[[Tree], None]) -> None:
    tree = tree_of(full)
    edit(tree)
    before = take_stock(full.desk.records)
    assert apply(full, tree)
    assert apply(full, tree) == [], "there is nothing left to do"
    catalog, _ = read_entries(tree)
    wanted = {each.key: each.entry for each in taken_apart(catalog)}
    assert changes_of(take_stock(full.desk.records).entries, wanted) == ()
    assert changes_of(before.entries, wanted) != ()


def test_a_section_that_is_left_out_is_not_spoken_of(full: Shop) -> None:
    before = take_stock(full.desk.records)
    assert apply(full, {"products": tree_of(full)["products"]}) == []
    assert take_stock(full.desk.records).digest == before.digest


def test_a_price_that_changes_keeps_its_id_and_the_ids_of_its_bands(full: Shop) -> None:
    records = full.desk.records
    before = {each.id: each.value for each in records.every(Pricing)}
    tree = tree_of(full)
    edit_price(tree)
    (made,) = apply(full, tree)
    assert made.entity is not None
    old, new = before[made.id].pricing_bands, made.entity.value.pricing_bands
    assert [band.id for band in old] == [band.id for band in new]
    assert (made.entity.version, str(new[0].unit_price)) == (2, "0.3")


@pytest.mark.parametrize(
    ("edit", "code", "said"),
    [
        (lambda tree: tree["meters"].clear(), "in_use", "(meters traffic): id: the meter"),
        (
            lambda tree: tree["plans"][0]["pricings"].append(
                {**tree["plans"][0]["pricings"][0], "startDate": "2025-03-01T00:00:00Z"}
            ),
            "rule_broken",
            "plans[0].pricings[1] (pricings plans basic aggregation.bytes_stored 2025-03-01T00:00:00Z): startDate",
        ),
        (
            lambda tree: tree["plans"][1].update(account="nobody"),
            "unknown_reference",
            "plans[1] (plans bespoke): 'nobody' is the code of none of the accounts",
        ),
        (
            lambda tree: tree["aggregations"][0].update(targetField="lines"),
            "rule_broken",
            "aggregations[0] (aggregations bytes_stored): targetField: the meter traffic has no field 'lines'",
        ),
    ],
)
def test_when_one_change_is_refused_nothing_is_kept(
    full: Shop, edit: Callable[[Tree], object], code: str, said: str
) -> None:
    tree = tree_of(full)
    tree["products"].append({"code": "other", "name": "Other"})
    edit(tree)
    if not tree["meters"]:
        del tree["aggregations"], tree["latePolicies"]  # not spoken of: what the meter is used by is found by the rules
    before, revision = take_stock(full.desk.records).digest, full.desk.records.revision
    problem = refused(lambda: apply(full, tree))
    assert problem.code.name == code
    assert said in problem.message
    assert (take_stock(full.desk.records).digest, full.desk.records.revision) == (before, revision)


def test_two_of_a_name_without_a_code_are_called_apart(shop: Shop) -> None:
    for _ in range(2):
        shop.make(COUNTERS, name="Größe, 2×", unit="seats")
    shop.make(COUNTERS, name="own", code="gr-e-2-2", unit="seats")
    codes = [each["code"] for each in tree_of(shop)["counters"]]
    assert sorted(codes) == ["gr-e-2", "gr-e-2-2", "gr-e-2-3"]
    tree = tree_of(shop)
    next(each for each in tree["counters"] if each["code"] == "gr-e-2-3")["unit"] = "heads"
    (made,) = apply(shop, tree)
    assert made.entity is not None
    assert made.entity.value.code == "gr-e-2-3", "what is changed has its code from then on"


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.section)
def test_files_have_every_field_or_leave_it_as_it_is(part: Part) -> None:
    """A field that an entry has not would be lost with the next change from files."""
    own = {*part.entry.__struct_fields__, *part.references, *part.kept}
    assert set(part.of.__struct_fields__) <= own
    assert part.section in SINGLE or NOUNS[part.of.kind].of is part.of


def test_what_files_do_not_speak_of_stays(shop: Shop) -> None:
    group = "11111111-0000-4000-8000-000000000000"
    shop.change(METERS, shop.meter, groupId=group)
    price = shop.price(pricingBands=[{**BAND[0], "creditTypeId": group}])
    tree = tree_of(shop)
    tree["meters"][0]["name"] = "Renamed"
    tree["plans"][0]["pricings"][0]["description"] = "Renamed"
    assert len(apply(shop, tree)) == 2
    assert METERS.retrieve(shop.desk.records, shop.meter).value.group_id == group
    kept = shop.desk.records.get(Pricing, price)
    assert kept is not None
    assert kept.value.pricing_bands[0].credit_type_id == group


def test_all_that_is_wrong_is_said_at_once_with_its_place() -> None:
    _, problems = read_entries(
        {
            "produkts": [],
            "products": [{"code": "a", "name": "A", "colour": "red"}, {"code": "b"}, "c"],
            "meters": {"code": "m"},
            "plans": [{"code": "p", "name": "P", "planTemplate": "t", "pricings": [{"startDate": "soon"}]}],
        }
    )
    assert [each.place for each in problems] == [
        "produkts",
        "products[0].colour",
        "products[1]",
        "products[2]",
        "meters",
        "plans[0].pricings[0].startDate",
    ]
    price = {"aggregation": "x", "startDate": "2025-01-01", "pricingBands": [{"lowerLimit": 0}]}
    _, problems = read_entries(
        {
            "products": [{"code": "a", "name": "A"}, {"code": "a", "name": "B"}],
            "planTemplates": [
                {
                    "code": "t",
                    "name": "T",
                    "product": "b",
                    "currency": "USD",
                    "billFrequency": "MONTHLY",
                    "pricings": [{**price, "endDate": "2024-01-01"}],
                }
            ],
            "planGroups": [{"code": "g", "name": "G", "currency": "USD", "plans": ["q"]}],
            "plans": [],
        }
    )
    assert [(each.place, each.message) for each in problems] == [
        ("products[1]", "products a is there already, at products[0]"),
        ("planTemplates[0].product", "'b' is the code of none of the products"),
        ("planTemplates[0].pricings[0].endDate", "must be after startDate"),
        ("planGroups[0].plans[0]", "'q' is the code of none of the plans"),
    ]


def test_numbers_that_are_spelled_otherwise_are_the_same() -> None:
    texts = ("1.50", "1.5", "15e-1")
    read = [
        read_entries(
            {
                "settings": {
                    "scheduledBillInterval": 24,
                    "currency": "USD",
                    "currencyConversions": [{"from": "EUR", "to": "USD", "multiplier": wire.number(each)}],
                }
            }
        )
        for each in texts
    ]
    assert len({wire.encode(shown(catalog)) for catalog, _ in read}) == 1
    assert not [each for _, problems in read for each in problems]


def test_a_refusal_is_no_bug(shop: Shop) -> None:
    with pytest.raises(Refusal):
        apply(
            shop,
            {"plans": []}
            | {"planTemplates": []}
            | {
                "aggregations": [
                    {"code": "n", "name": "N", "meter": "none", "targetField": "x", "aggregation": "SUM", "unit": "u"}
                ]
            },
        )
