"""Entities: kept, found, replaced, removed, and never seen by another organisation. Each story runs on both
databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import ClassVar

import msgspec
import pytest
from records_examples import EPOCH, account, account_plan, changed, entity, keep, new_id, product

from tallystick.core import wire
from tallystick.core.account import Account, AccountPlan
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, PricingBand, Product
from tallystick.core.entity import Entity, Value
from tallystick.core.organization import Currency, OrganizationConfig
from tallystick.core.period import Frequency, Instant
from tallystick.errors import Refusal
from tallystick.ports import Page, Where
from tallystick.stores.records_sql import SqlRecords, entity_texts
from tallystick.stores.records_sql.view import SqlOrganization, SqlTransaction

PRICING = Pricing(
    plan_id=new_id(),
    aggregation_id=new_id(),
    pricing_bands=(
        PricingBand(lower_limit=Decimal(0), fixed_price=Decimal("0.1"), unit_price=Decimal("1E-30")),
        PricingBand(lower_limit=Decimal(12345678901234567890), fixed_price=Decimal(0), unit_price=Decimal("2.50")),
    ),
    start_date=Instant.parse("2023-11-01T00:00:00.000001+02:00"),
    custom_fields={"a": Decimal("0.1"), "b": "é\U0001f9fe"},
)


@pytest.mark.parametrize(
    "value",
    [
        product("p", name="Zähler 計量 \U0001f9fe ' \" \\ %_"),
        account("acme"),
        account_plan(new_id(), "2023-11-01", "2024-11-01"),
        PRICING,
        Currency(name="Dollar", code="USD"),
        OrganizationConfig(timezone="Europe/Berlin", day_epoch=date(2023, 1, 31)),
    ],
    ids=lambda value: value.kind,
)
def test_what_is_kept_is_read_back_equal(organization: SqlOrganization, value: Value) -> None:
    (kept,) = keep(organization, value)
    assert organization.get(type(value), kept.id) == kept
    assert organization.at_version(type(value), kept.id, 1) == kept
    assert list(organization.every(type(value))) == [kept]


def test_an_id_names_one_kind(organization: SqlOrganization) -> None:
    (kept,) = keep(organization, product("p"))
    assert organization.get(Account, kept.id) is None
    assert organization.get(Product, new_id()) is None


def test_many_are_read_by_id_at_once(organization: SqlOrganization) -> None:
    kept = keep(organization, *(product(f"p{number}") for number in range(5)))
    wanted = [kept[0].id, kept[3].id, kept[3].id, new_id(), "a\0b"]
    assert organization.get_many(Product, wanted) == {kept[0].id: kept[0], kept[3].id: kept[3]}
    assert organization.get_many(Product, []) == {}
    assert organization.get_many(Product, ["\0"]) == {}


def test_codes_are_read_by_id_at_once(organization: SqlOrganization) -> None:
    one, other, plain = keep(organization, account("acme"), account("strasse"), account_plan(new_id(), "2023-11-01"))
    wanted = [other.id, one.id, one.id, new_id(), plain.id, "a\0b"]
    assert organization.codes(Account, wanted) == {one.id: "acme", other.id: "strasse"}
    assert organization.codes(AccountPlan, wanted) == {}  # has no code
    assert organization.codes(Account, []) == organization.codes(Account, ["\0"]) == {}


def test_texts_are_what_entities_say(organization: SqlOrganization, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = keep(organization, *(account(code) for code in ("acme", "strasse", "umbrella")))
    plans = keep(organization, *(account_plan(each.id, "2023-11-01") for each in owners))
    acme, strasse, umbrella = [(each.id, 1, wire.encode(each.value).decode()) for each in owners]
    assert sorted(organization.texts(Account)) == sorted([acme, strasse, umbrella])
    monkeypatch.setattr(entity_texts, "CHUNK", 1)
    assert list(organization.texts(Account)) == [acme, strasse, umbrella]  # however few are read at a time
    assert list(organization.texts(Account, "id", [strasse[0], new_id(), plans[0].id, "a\0b"])) == [strasse]
    assert list(organization.texts(Account, "id", [])) == list(organization.texts(Product)) == []
    wanted = [owners[0].id, owners[2].id, new_id(), "a\0b"]
    assert {id_ for id_, _, _ in organization.texts(AccountPlan, "account_id", wanted)} == {plans[0].id, plans[2].id}
    with organization.transaction() as write:
        write.replace(changed(owners[0], account("acme", parent=owners[1].id)))
        assert [version for _, version, _ in write.texts(Account, "id", [acme[0]])] == [2]
    assert [each[:2] for each in organization.texts(Account, "parent_account_id", [strasse[0]])] == [(acme[0], 2)]


def test_who_is_referred_to_by_others(organization: SqlOrganization) -> None:
    parent, other, alone = keep(organization, account("parent"), account("other"), account("alone"))
    plan_id = new_id()
    (plan,) = keep(organization, msgspec.structs.replace(account_plan(other.id, "2023-11-01"), plan_id=plan_id))
    keep(organization, account("child", parent=parent.id))
    ids = [parent.id, other.id, alone.id, plan.id, "a\0b"]
    assert organization.referred_to([], ids) == {parent.id, other.id}
    assert organization.referred_to([AccountPlan], ids) == {parent.id}
    assert organization.referred_to([AccountPlan, Account], ids) == organization.referred_to([], []) == set()
    assert organization.referred_to([]) == {parent.id, other.id, plan_id}
    assert organization.referred_to([AccountPlan]) == {parent.id}


def test_more_ids_than_a_statement_has_parameters(organization: SqlOrganization) -> None:
    (kept,) = keep(organization, product("p"))
    wanted = [new_id() for _ in range(40_000)] + [kept.id]
    assert organization.get_many(Product, wanted) == {kept.id: kept}
    found = organization.find(Product, Where(equal={"id": wanted}), Page(10))
    assert found.rows == (kept,)


@pytest.mark.parametrize("code", ["acme", "Acme", "ACME ltd", "straße", "strasse", "é", "e\u0301", "100%", "a_b", "'"])
def test_codes_are_compared_exactly(organization: SqlOrganization, code: str) -> None:
    codes = ["acme", "Acme", "ACME ltd", "straße", "strasse", "é", "e\u0301", "100%", "a_b", "'"]
    kept = dict(zip(codes, keep(organization, *(account(each) for each in codes)), strict=True))
    assert organization.by_code(Account, code) == kept[code]
    assert organization.find(Account, Where(equal={"code": [code]}), Page()).rows == (kept[code],)


@pytest.mark.parametrize("code", ["acm", "acme ", "aCME", "%", "", "a\0b", "\ud800"])
def test_other_codes_name_nothing(organization: SqlOrganization, code: str) -> None:
    keep(organization, account("acme"), account("a"))
    assert organization.by_code(Account, code) is None
    assert organization.find(Account, Where(equal={"code": [code]}), Page()).rows == ()


def test_a_code_is_refused_while_it_is_in_use(organization: SqlOrganization) -> None:
    first, other = keep(organization, account("acme"), account("other"))
    with pytest.raises(Refusal, match=f"the account {first.id} has the code 'acme'") as refused:
        keep(organization, account("acme"))
    assert (refused.value.code.name, refused.value.field) == ("code_in_use", "code")
    with pytest.raises(Refusal, match="acme") as refused, organization.transaction() as write:
        write.replace(changed(other, account("acme")))
    assert refused.value.code.name == "code_in_use"
    assert organization.get(Account, other.id) == other
    # Another kind may have it, the entity itself keeps it, and it is free again once its owner is gone.
    keep(organization, product("acme"))
    with organization.transaction() as write:
        write.replace(second := changed(first, account("acme", parent=other.id)))
        write.remove(second, at=EPOCH, by="bob")
        write.insert(entity(account("acme")))


def test_any_number_may_have_no_code(organization: SqlOrganization) -> None:
    plans = keep(organization, account_plan(new_id(), "2023-11-01"), account_plan(new_id(), "2023-11-01"))
    assert list(organization.every(AccountPlan)) == plans
    assert organization.by_code(AccountPlan, "") is None


def test_each_version_stays_readable(organization: SqlOrganization) -> None:
    (first,) = keep(organization, product("p", name="One"))
    second = changed(first, product("q", name="Two"))
    with organization.transaction() as write:
        write.replace(second)
    assert organization.get(Product, first.id) == second
    assert organization.by_code(Product, "q") == second
    assert organization.by_code(Product, "p") is None
    assert organization.at_version(Product, first.id, 1) == first
    assert organization.at_version(Product, first.id, 2) == second
    assert organization.at_version(Product, first.id, 3) is None


def test_what_was_removed_is_out_of_use_but_not_forgotten(organization: SqlOrganization) -> None:
    parent, first = keep(organization, account("parent"), account("child"))
    second = changed(first, account("child", parent=parent.id))
    with organization.transaction() as write:
        write.replace(second)
    with organization.transaction() as write:
        write.remove(second, at=datetime(2024, 1, 1, tzinfo=UTC), by="eve")
    assert organization.get(Account, first.id) is None
    assert organization.by_code(Account, "child") is None
    assert organization.users_of(parent.id) == []
    assert list(organization.every(Account)) == [parent]
    assert organization.at_version(Account, first.id, 1) == first
    assert organization.at_version(Account, first.id, 2) == second
    assert organization.at_version(Account, first.id, 3) is None  # the removal itself


def change(write: SqlTransaction, act: str, old: Entity[Product]) -> None:
    if act == "replace":
        write.replace(changed(old, product("p", name="Other")))
    else:
        write.remove(old, at=EPOCH, by="bob")


@pytest.mark.parametrize("act", ["replace", "remove"])
def test_a_stale_version_is_refused(organization: SqlOrganization, act: str) -> None:
    (first,) = keep(organization, product("p"))
    second = changed(first, product("p", name="Two"))
    with organization.transaction() as write:
        write.replace(second)
    with pytest.raises(Refusal, match="has version 2") as refused, organization.transaction() as write:
        change(write, act, first)
    assert (refused.value.code.name, refused.value.field) == ("version_mismatch", "version")
    assert organization.get(Product, first.id) == second


@pytest.mark.parametrize("act", ["replace", "remove"])
def test_what_does_not_exist_cannot_be_changed(organization: SqlOrganization, act: str) -> None:
    ghost = entity(product("p"))
    with pytest.raises(Refusal, match=ghost.id) as refused, organization.transaction() as write:
        change(write, act, ghost)
    assert refused.value.code.name == "not_found"


def test_two_organizations_with_equal_ids_and_codes_never_meet(
    new_organization: Callable[[], SqlOrganization],
) -> None:
    ours, theirs = new_organization(), new_organization()
    parent, child = entity(account("parent")), entity(account("child", parent=new_id()))
    child = replace(child, value=account("child", parent=parent.id))
    mine = entity(account("parent"), id=parent.id)
    for organization, group in ((ours, [parent, child]), (theirs, [mine])):
        with organization.transaction() as write:
            for each in group:
                write.insert(each)
    with theirs.transaction() as write:
        write.replace(renamed := changed(mine, account("parent", parent=None), by="eve"))
    assert ours.get(Account, parent.id) == parent
    assert theirs.get(Account, parent.id) == renamed
    assert ours.by_code(Account, "parent") == parent
    assert theirs.by_code(Account, "child") is None
    assert theirs.get(Account, child.id) is None
    assert theirs.get_many(Account, [parent.id, child.id]) == {parent.id: renamed}
    assert theirs.at_version(Account, child.id, 1) is None
    assert ours.at_version(Account, parent.id, 2) is None
    assert ours.users_of(parent.id) == [("account", child.id)]
    assert theirs.users_of(parent.id) == []
    assert ours.referred_to([]) == ours.referred_to([], [parent.id]) == {parent.id}
    assert theirs.referred_to([]) == theirs.referred_to([], [parent.id]) == set()
    assert [id_ for id_, _, _ in theirs.texts(Account)] == [parent.id]
    assert list(theirs.texts(Account, "id", [child.id])) == []
    assert list(theirs.texts(Account, "parent_account_id", [parent.id])) == []
    assert theirs.find(Account, Where(equal={"parent_account_id": [parent.id]}), Page()).rows == ()
    assert list(theirs.every(Account)) == [renamed]
    with theirs.transaction() as write, pytest.raises(Refusal, match="does not exist"):
        write.remove(child, at=EPOCH, by="eve")
    with theirs.transaction() as write:
        write.remove(renamed, at=EPOCH, by="eve")
    assert [each.id for each in ours.every(Account)] == [parent.id, child.id]


def test_references_tell_who_uses_an_id(organization: SqlOrganization) -> None:
    (template,) = keep(
        organization,
        PlanTemplate(
            product_id=new_id(),
            name="Basic",
            currency="USD",
            bill_frequency=Frequency.MONTHLY,
            standing_charge=Decimal(20),
        ),
    )
    assert organization.users_of(template.id) == []
    plans = keep(
        organization, *(Plan(plan_template_id=template.id, name="Plan", code=f"p{number}") for number in range(12))
    )
    users = organization.users_of(template.id)
    assert users == [("plan", each.id) for each in plans[:10]]  # ten are enough to say who
    with organization.transaction() as write:
        for each in plans[1:]:
            write.remove(each, at=EPOCH, by="bob")
        write.replace(moved := changed(plans[0], Plan(plan_template_id=new_id(), name="Plan", code="p0")))
    assert organization.users_of(template.id) == []
    assert organization.users_of(moved.value.plan_template_id) == [("plan", moved.id)]
    assert organization.users_of("\0") == []


def test_neither_a_filter_nor_itself_is_a_user(organization: SqlOrganization) -> None:
    keep(organization, Currency(name="Dollar", code="USD", archived=True))
    assert organization.users_of("true") == []
    own = entity(account("loop"))
    own = replace(own, value=account("loop", parent=own.id))
    with organization.transaction() as write:
        write.insert(own)
    assert organization.users_of(own.id) == []


class Basket(Value, frozen=True, kw_only=True):
    """A kind with every sort of filter."""

    kind: ClassVar[str] = "basket"
    references: ClassVar[tuple[str, ...]] = ("owner_id", "product_ids")
    filters: ClassVar[tuple[str, ...]] = ("open", "frequency", "owner_id")

    owner_id: str | None = None
    product_ids: tuple[str, ...] = ()
    open: bool = False
    frequency: Frequency = Frequency.MONTHLY


def test_filters_find_texts_truths_members_and_enumerations(organization: SqlOrganization) -> None:
    a, b, c = keep(
        organization,
        Basket(owner_id="x", product_ids=("p", "q", "p"), open=True),
        Basket(owner_id="y", product_ids=("q",), frequency=Frequency.DAILY),
        Basket(product_ids=("q", "r"), open=True),
    )

    def ids(**equal: list[str]) -> list[str]:
        return [each.id for each in organization.find(Basket, Where(equal=equal), Page()).rows]

    assert ids(owner_id=["x"]) == [a.id]
    assert ids(owner_id=["y", "x", "x", "z"]) == [b.id, a.id]
    assert ids(product_ids=["q"]) == [c.id, b.id, a.id]
    assert ids(product_ids=["p", "r"]) == [c.id, a.id]
    assert ids(open=["true"]) == [c.id, a.id]
    assert ids(open=["false"]) == [b.id]
    assert ids(frequency=["DAILY"]) == [b.id]
    assert ids(product_ids=["q"], open=["true"], owner_id=["x", "y"]) == [a.id]
    assert ids(product_ids=["q"], id=[b.id, c.id], frequency=["MONTHLY", "WEEKLY"]) == [c.id]
    assert ids(owner_id=[]) == []
    assert ids(owner_id=["\0"]) == []
    assert list(organization.every(Basket, Where(equal={"owner_id": []}))) == []
    with pytest.raises(AssertionError, match="Basket has no filter colour"):
        ids(colour=["red"])


@pytest.mark.parametrize(
    ("at", "active"),
    [
        ("2023-10-31T23:59:59.999999Z", ["always"]),
        ("2023-11-01T00:00:00Z", ["always", "bounded", "open"]),  # the start belongs to it
        ("2023-11-01T01:00:00+02:00", ["always"]),  # 23:00 of the day before
        ("2023-11-30T23:59:59.999999Z", ["always", "bounded", "open"]),
        ("2023-12-01T00:00:00Z", ["always", "open"]),  # the end does not
        ("2023-12-01T00:00:00.000001Z", ["always", "open"]),
        ("9999-12-31T23:59:59Z", ["always", "open"]),
    ],
)
def test_active_on_is_from_the_start_up_to_the_end(organization: SqlOrganization, at: str, active: list[str]) -> None:
    owner = new_id()
    bounded, unbounded, always = keep(
        organization,
        account_plan(owner, "2023-11-01", "2023-12-01"),
        account_plan(owner, "2023-11-01"),
        account_plan(owner, "0001-01-01"),
    )
    names = {bounded.id: "bounded", unbounded.id: "open", always.id: "always"}
    where = Where(equal={"account_id": [owner]}, active_on=Instant.parse(at))
    assert sorted(names[each.id] for each in organization.find(AccountPlan, where, Page()).rows) == active
    assert sorted(names[each.id] for each in organization.every(AccountPlan, where)) == active


def test_what_has_no_dates_is_always_active(organization: SqlOrganization) -> None:
    (kept,) = keep(organization, product("p"))
    assert organization.find(Product, Where(active_on=Instant.of(EPOCH)), Page()).rows == (kept,)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Product(name="a\0b", code="p"), "name"),
        (Product(name="p", code="p", custom_fields={"k\0": "v"}), "customFields"),
        (Product(name="\\\0", code="p"), "name"),
        (Account(name="A", code="a", email_address="\0"), "emailAddress"),
    ],
)
def test_a_nul_character_is_refused_by_name(organization: SqlOrganization, value: Value, field: str) -> None:
    with pytest.raises(Refusal, match=f"{field}: has a NUL character") as refused:
        keep(organization, value)
    assert (refused.value.code.name, refused.value.field) == ("invalid_request", field)


def test_a_backslash_before_u0000_is_no_nul(organization: SqlOrganization) -> None:
    (kept,) = keep(organization, product("p", name="\\u0000 and \\\\u0000"))
    assert organization.get(Product, kept.id) == kept


def test_an_entity_of_an_unknown_organization_is_a_bug(records: SqlRecords) -> None:
    with pytest.raises(AssertionError, match="does not exist"):
        keep(records.organization(new_id()), product("p"))


def test_every_gives_what_existed_when_it_began(organization: SqlOrganization) -> None:
    kept = keep(organization, *(product(f"p{number}") for number in range(1_005)))
    seen = []
    for number, each in enumerate(organization.every(Product)):
        seen.append(each)
        if number == 0:  # neither does what is added meanwhile come, nor does what is removed stop the rest
            keep(organization, product("late"))
            with organization.transaction() as write:
                write.remove(kept[1_002], at=EPOCH, by="bob")
    assert seen == kept[:1_002] + kept[1_003:]
