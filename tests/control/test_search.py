"""The search language: how it is read, what it finds, and in which order."""

from __future__ import annotations

import pytest
from shop import NOWHERE, Shop, account_body, refused

from tallystick.control.accounts import ACCOUNTS, SEARCH_KEYS, search
from tallystick.control.currencies import CURRENCIES
from tallystick.control.search import Search, Term, read_terms

DATES = ("dtCreated",)

READ = (
    ("", ()),
    ("name~Premium On$currency:USD", (Term("name", "~", "Premium On"), Term("currency", ":", "USD"))),
    ("name>=a$name<b", (Term("name", ">=", "a"), Term("name", "<", "b"))),
    ("code:a$b", (Term("code", ":", "a$b"),)),
    ("code:a$code:b$", (Term("code", ":", "a"), Term("code", ":", "b$"))),
    ("codes:a,b", (Term("codes", ":", "a,b"),)),
    ("name::", (Term("name", ":", ":"),)),
    ("name:", (Term("name", ":", ""),)),
    ("dtCreated>2025-01-01", (Term("dtCreated", ">", "2025-01-01"),)),
)


@pytest.mark.parametrize(("text", "terms"), READ)
def test_terms_are_read(text: str, terms: tuple[Term, ...]) -> None:
    assert read_terms(text, SEARCH_KEYS, DATES) == terms


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Acme", "'Acme' is no term"),
        ("planet:mars", "the keys are name, code"),
        ("$name:a", "'' is no term"),
        ("name=a", "no term"),
        ("dtCreated>yesterday", "must be an ISO 8601 date"),
        ("dtCreated~2025", "is a date"),
    ],
)
def test_what_is_no_term_is_refused(text: str, says: str) -> None:
    refusal = refused(lambda: read_terms(text, SEARCH_KEYS, DATES))
    assert (refusal.code.name, refusal.field) == ("invalid_request", "searchQuery")
    assert says in refusal.message


@pytest.fixture
def customers(shop: Shop) -> Shop:
    """Four accounts: acme and its child, zenith in euros made later, and one with a dollar sign in its code."""
    shop.make(CURRENCIES, name="Euro", code="EUR")
    shop.make(ACCOUNTS, **account_body("acme-labs", parentAccountId=shop.account, currency="USD"))
    shop.later("2025-07-01T00:00:00Z")
    shop.make(ACCOUNTS, **account_body("zenith", currency="EUR", purchaseOrderNumber="PO-7"))
    shop.make(ACCOUNTS, **account_body("cash$name", currency="USD"))
    return shop


FOUND: tuple[tuple[str, bool, list[str]], ...] = (
    ("", False, ["cash$name", "zenith", "acme-labs", "acme"]),
    ("name~acme", False, ["acme-labs", "acme"]),
    ("name~ACME", False, ["acme-labs", "acme"]),
    ("name~me", False, []),
    ("code:acme", False, ["acme"]),
    ("code:ACME", False, []),
    ("code:cash$name", False, ["cash$name"]),
    ("codes:zenith,acme", False, ["zenith", "acme"]),
    ("currency:USD", False, ["cash$name", "acme-labs"]),
    ("currency:USD$name~acme", False, ["acme-labs"]),
    ("currency:EUR$name~acme", False, []),
    ("currency:EUR$name~acme", True, ["zenith", "acme-labs", "acme"]),
    ("purchaseOrderNumber:PO-7", False, ["zenith"]),
    ("code>=b", False, ["cash$name", "zenith"]),
    ("code>acme$code<cash", False, ["acme-labs"]),
    ("code<=acme", False, ["acme"]),
    ("dtCreated>2025-06-30", False, ["cash$name", "zenith"]),
    ("dtCreated<=2025-06-15T12:00:00Z", False, ["acme-labs", "acme"]),
    ("dtCreated:2025-07-01T00:00:00Z", False, ["cash$name", "zenith"]),
    ("createdBy:someone", False, ["cash$name", "zenith", "acme-labs", "acme"]),
    ("lastModifiedBy:nobody", False, []),
    (f"id:{NOWHERE}", False, []),
)


@pytest.mark.parametrize(("text", "any_term", "codes"), FOUND)
def test_accounts_are_found(customers: Shop, text: str, any_term: bool, codes: list[str]) -> None:
    wanted = Search(terms=read_terms(text, SEARCH_KEYS, DATES), any_term=any_term)
    assert [each.value.code for each in search(customers.desk.records, wanted).rows] == codes


def test_accounts_are_found_by_id_and_parent(customers: Shop) -> None:
    for text, codes in (
        (f"id:{customers.account}", ["acme"]),
        (f"ids:{customers.account},{NOWHERE}", ["acme"]),
        (f"parentAccountId:{customers.account}", ["acme-labs"]),
    ):
        wanted = Search(terms=read_terms(text, SEARCH_KEYS))
        assert [each.value.code for each in search(customers.desk.records, wanted).rows] == codes


def test_rows_are_sorted_and_those_without_the_field_come_last(customers: Shop) -> None:
    for sort_by, descending, codes in (
        ("code", False, ["acme", "acme-labs", "cash$name", "zenith"]),
        ("code", True, ["zenith", "cash$name", "acme-labs", "acme"]),
        ("currency", False, ["zenith", "cash$name", "acme-labs", "acme"]),
        ("currency", True, ["cash$name", "acme-labs", "zenith", "acme"]),
        ("dtCreated", False, ["acme-labs", "acme", "cash$name", "zenith"]),
    ):
        wanted = Search(terms=(), sort_by=sort_by, descending=descending)
        assert [each.value.code for each in search(customers.desk.records, wanted).rows] == codes


def test_a_search_goes_on_from_an_offset(customers: Shop) -> None:
    first = search(customers.desk.records, Search(terms=(), sort_by="code", size=3))
    assert ([each.value.code for each in first.rows], first.next_token) == (["acme", "acme-labs", "cash$name"], "3")
    second = search(customers.desk.records, Search(terms=(), sort_by="code", size=3, offset=3))
    assert ([each.value.code for each in second.rows], second.next_token) == (["zenith"], None)
