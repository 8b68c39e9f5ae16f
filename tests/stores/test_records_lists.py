"""Lists of entities come in pages that neither miss nor repeat a row, whatever is written meanwhile."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records_examples import EPOCH, account_plan, bill, changed, keep, new_id, product
from sqlalchemy import Select

from tallystick.core.account import Account, AccountPlan
from tallystick.core.catalog import Product
from tallystick.core.entity import Value
from tallystick.errors import Refusal
from tallystick.ports import DocumentWhere, Page, Where
from tallystick.stores.records_sql import SqlRecords, documents, entities
from tallystick.stores.records_sql.paging import DocumentPlace, EntityPlace, read_token, write_token
from tallystick.stores.records_sql.view import SqlOrganization


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_a_list_is_newest_first_and_ends_without_a_token(organization: SqlOrganization, size: int) -> None:
    kept = keep(organization, *(product(f"p{number}") for number in range(4)))
    rows, token = [], None
    while True:
        page = organization.find(Product, Where(), Page(size, token))
        assert len(page.rows) == size or page.next_token is None
        rows += page.rows
        token = page.next_token
        if token is None:
            break
    assert rows == kept[::-1]


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_the_first_page(organization: SqlOrganization, token: str | None) -> None:
    (kept,) = keep(organization, product("p"))
    assert organization.find(Product, Where(), Page(1, token)).rows == (kept,)
    assert organization.find(Account, Where(), Page(1, token)).rows == ()


def test_pages_over_a_thousand_rows_while_rows_come_change_and_go(organization: SqlOrganization) -> None:
    kept = keep(organization, *(product(f"p{number}") for number in range(1_050)))
    expected = [each.id for each in reversed(kept)]
    seen: list[str] = []
    token = None
    for number in range(11):
        page = organization.find(Product, Where(), Page(100, token))
        seen += [each.id for each in page.rows]
        token = page.next_token
        keep(organization, product(f"late{number}"))  # newer than every page to come
        with organization.transaction() as write:
            write.replace(changed(kept[number], product(f"p{number}", name="Changed")))  # keeps its place
            last_shown = organization.get(Product, seen[-1])
            assert last_shown is not None
            write.remove(last_shown, at=EPOCH, by="bob")  # the very row that the token names
    assert token is None
    assert seen == expected


def test_a_filtered_list_pages_alike(organization: SqlOrganization) -> None:
    owners = [new_id(), new_id()]
    kept = keep(organization, *(account_plan(owners[number % 2], "2023-11-01") for number in range(50)))
    where = Where(equal={"account_id": [owners[1]]}, active_on=None)
    seen, token = [], None
    for _ in range(4):
        page = organization.find(AccountPlan, where, Page(7, token))
        seen += page.rows
        token = page.next_token
    assert token is None
    assert seen == kept[1::2][::-1]


def _encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


MALFORMED = [
    "x",
    "not a token",
    "%00",
    "\0",
    "é",
    "null",
    _encoded(b"null"),
    _encoded(b"{}"),
    _encoded(b"[]"),
    _encoded(b"[-1]"),
    _encoded(b"[1.5]"),
    _encoded(b"[true]"),
    _encoded(b'["1"]'),
    _encoded(b"[9223372036854775808]"),
    _encoded(b"[1,2]"),
    _encoded(b'["a"]'),
    _encoded(b'["a","b"]'),
    _encoded(b'["a",-1]'),
    _encoded(b'["a","b","c"]'),
    _encoded(b'["\\u0000",1]'),
    _encoded(b'["a","\xff"]'),
    _encoded(b"["),
    "A" * 10_000,
]


@pytest.mark.parametrize("token", MALFORMED)
def test_a_malformed_token_is_refused(organization: SqlOrganization, token: str) -> None:
    with pytest.raises(Refusal, match="nextToken") as refused:
        organization.find(Product, Where(), Page(10, token))
    assert (refused.value.code.name, refused.value.field) == ("invalid_page", "nextToken")
    with pytest.raises(Refusal, match="nextToken"):
        organization.documents("bill", DocumentWhere(), Page(10, token))


def test_a_token_of_another_sort_of_list_is_refused(organization: SqlOrganization) -> None:
    keep(organization, product("p"), product("q"))
    with organization.transaction() as write:
        write.put_documents("bill", [bill("a"), bill("b")])
    of_products = organization.find(Product, Where(), Page(1)).next_token
    of_bills = organization.documents("bill", DocumentWhere(), Page(1)).next_token
    with pytest.raises(Refusal, match="nextToken"):
        organization.find(Product, Where(), Page(1, of_bills))
    with pytest.raises(Refusal, match="nextToken"):
        organization.documents("bill", DocumentWhere(), Page(1, of_products))


@settings(max_examples=100, deadline=None)
@given(
    place=st.builds(DocumentPlace, st.text(), st.integers(0, 2**63 - 1))
    | st.builds(EntityPlace, st.integers(0, 2**63 - 1))
)
def test_a_token_is_safe_in_a_url_and_names_its_place(place: DocumentPlace | EntityPlace) -> None:
    token = write_token(place)
    assert token.replace("-", "").replace("_", "").isalnum()
    assert token.isascii()
    if isinstance(place, EntityPlace) or "\0" not in place.sort:
        assert read_token(token, type(place)) == place


class Note(Value, frozen=True, kw_only=True):
    """A kind that can refer to any text."""

    kind: ClassVar[str] = "note"
    references: ClassVar[tuple[str, ...]] = ("about",)

    about: str


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text))
def test_any_text_is_kept_exactly_and_found_by_it(organization: SqlOrganization, text: str) -> None:
    (kept,) = keep(organization, Note(about=text))
    assert organization.get(Note, kept.id) == kept
    assert organization.find(Note, Where(equal={"about": [text]}), Page()).rows[0] == kept
    assert organization.find(Note, Where(equal={"about": [text, ""]}), Page()).rows[0] == kept
    users = organization.users_of(text)
    assert ("note", kept.id) in users or len(users) == 10


def _plan(records: SqlRecords, statement: Select[Any]) -> str:
    """How SQLite carries out a statement."""
    with records._database.reading() as connection:
        compiled = str(statement.compile(connection.engine))
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", (None,) * compiled.count("?"))
        return "\n".join(row.detail for row in rows)


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(
    ("statement", "used"),
    [
        (entities.BY_ID, "kind=? AND id=?"),
        (entities.BY_IDS, "kind=? AND id=?"),
        (entities.CODES, "kind=? AND id=?"),
        (entities.BY_CODE, "entity_by_code"),
        (entities.USERS_OF, "entity_reference_by_target"),
        (entities._newest_first((), False, True), "entity_by_sequence"),
        (entities._newest_first((("code", True),), True, False), "entity_by_code"),
        (entities._newest_first((("", True),), True, True), "name=? AND target=? AND sequence<?"),
        (entities._newest_first((("", False), ("", True)), False, False), "name=? AND target=?"),
        (entities._oldest_first((("", False),), True), "name=? AND target=? AND sequence>? AND sequence<?"),
        (documents._listing("bill", (), (), True), "bill_by_sort"),
        (
            documents._listing(
                "bill", (("account_id", True),), (("start_date", False, True), ("end_date", True, False)), False
            ),
            "bill_by_account_id",
        ),
        (documents._listing("bill", (("status", True),), (), True), "bill_by_status"),
        (documents._listing("bill", (("account_id", True),), (), False), "bill_by_account_id"),
        (documents._listing("bill", (), (("end_date", True, True),), False), "bill_by_end_date"),
        # Keys of few documents first, whatever else is asked for; of a few of their values none walks the list.
        (documents._listing("bill", (("account_id", True), ("status", True)), (), False), "bill_by_account_id"),
        (documents._listing("bill", (("locked", True), ("status", True)), (), False), "bill_by_status"),
        (documents._listing("bill", (("account_id", False),), (), True, (), True), "bill_by_account_id"),
        (documents._listing("bill", (("id", False),), (), False, (), True), "id=?"),
        (
            documents._listing("billrevisit", (("awaits", False),), (("sort", False, True),), False, (), True),
            "awaits=?",
        ),
    ],
)
def test_no_list_walks_a_table(records: SqlRecords, statement: Select[Any], used: str) -> None:
    plan = _plan(records, statement)
    assert used in plan
    assert "SCAN entity" not in plan
    assert "SCAN bill" not in plan


@pytest.mark.parametrize(
    ("equal", "few"),
    [
        ({"id": ["a", "b"]}, True),
        ({"id": [str(number) for number in range(2_000)]}, True),  # SQLite would walk all bills to find these in order
        ({"id": ["a", "b"], "status": ["PENDING"]}, True),
        ({"account_id": ["a", "b"]}, True),
        ({"account_id": [str(number) for number in range(2_000)]}, False),  # each may have any number of bills
        ({"account_id": ["a", "b"], "status": ["PENDING"]}, False),
        ({"id": ["a"]}, False),
        ({"status": ["PENDING", "APPROVED"]}, False),
    ],
)
def test_what_brings_few_is_looked_up_and_then_put_in_order(equal: dict[str, list[str]], few: bool) -> None:
    assert documents._brings_few(DocumentWhere(equal=equal)) is few


# What pages of bills ask for (docs/decisions/0287-lists-of-bills.md), of a hundred thousand bills.
MONTH_AND_STATE = (("status", True), ("end_month", True))


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(
    ("equal", "between", "goes_on", "used"),
    [
        ((), (), False, "bill_by_sort"),
        ((("end_month", True),), (), True, "bill_by_end_month"),
        (MONTH_AND_STATE, (), False, "bill_by_"),
        ((("locked", True),), (), False, "bill_by_locked"),
        ((("invoice_number", True),), (), False, "bill_by_invoice_number"),
        ((("account_id", True),), (("sort", False, True),), False, "organization_id=? AND account_id=? AND sort<?"),
    ],
)
def test_no_page_of_bills_sorts_them(
    records: SqlRecords,
    equal: tuple[tuple[str, bool], ...],
    between: tuple[tuple[str, bool, bool], ...],
    goes_on: bool,
    used: str,
) -> None:
    plan = _plan(records, documents._listing("bill", equal, between, goes_on))
    assert used in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN bill" not in plan
