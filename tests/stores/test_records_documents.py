"""Documents: bills, jobs, events and failed measurements, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from records_examples import bill

from tallystick.core.stencil import HOLE, Stencil, character, in_short, stencil_of
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, FilledDocument, Page
from tallystick.stores.records_sql import stencils
from tallystick.stores.records_sql.schema import DOCUMENT_KINDS
from tallystick.stores.records_sql.view import SqlOrganization

EVERYTHING = DocumentWhere()


def put(organization: SqlOrganization, *documents: Document | FilledDocument, kind: str = "bill") -> None:
    with organization.transaction() as write:
        write.put_documents(kind, documents)


def ids(organization: SqlOrganization, where: DocumentWhere = EVERYTHING) -> list[str]:
    return [each.id for each in organization.documents("bill", where, Page()).rows]


@pytest.mark.parametrize("kind", DOCUMENT_KINDS)
def test_every_kind_keeps_its_keys_and_its_body(organization: SqlOrganization, kind: str) -> None:
    full = Document(
        id="full",
        sort="2",
        keys={key: f"é {key} '\"%" for key in DOCUMENT_KINDS[kind]},
        body='{"é": "\\u0000"}'.encode(),
    )
    bare = Document(id="bare", sort="1", keys={}, body=b"")
    put(organization, full, bare, kind=kind)
    assert organization.document(kind, "full") == full
    assert organization.document(kind, "bare") == bare
    assert organization.document(kind, "other") is None
    assert organization.document(kind, "\0") is None
    for key, text in full.keys.items():
        assert organization.documents(kind, DocumentWhere(equal={key: [text]}), Page()).rows == (full,)


@pytest.mark.parametrize("body", [b"{}", b' {"b":1,\n"a":1.0} ', "\u2028 \U0001f9fe".encode(), b"x" * 3_000_000])
def test_a_body_keeps_its_very_bytes(organization: SqlOrganization, body: bytes) -> None:
    put(organization, bill("a", body=body))
    stored = organization.document("bill", "a")
    assert stored is not None
    assert stored.body == body


INVOICE = stencil_of([f'{{"of":"{HOLE}","é":[', f'{{"line":{HOLE}}}', ",", "]}"])


def filled(id: str, name: str, *lines: str, stencil: Stencil = INVOICE) -> FilledDocument:
    """A bill like `{"of": name, "é": [{"line": …}, …]}` of which only name and lines are kept."""
    head, line, between, tail = map(character, range(4))
    short = in_short(head + between.join(line for _ in lines) + tail, (name, *lines))
    return FilledDocument(id=id, sort="1", keys={"status": "PENDING"}, stencil=stencil, short=short)


def test_what_is_kept_as_what_fills_a_stencil_is_read_whole(new_organization: Callable[[], SqlOrganization]) -> None:
    ours, theirs = new_organization(), new_organization()
    put(ours, filled("a", "Käse 100% %s", "1", "2.50"), bill("b", "1", b"{}"), filled("c", "C"))
    put(theirs, filled("a", "other", "7"))
    bodies = {"a": '{"of":"Käse 100% %s","é":[{"line":1},{"line":2.50}]}', "b": "{}", "c": '{"of":"C","é":[]}'}
    found = ours.documents("bill", EVERYTHING, Page())
    assert {each.id: each.body.decode() for each in found.rows} == bodies
    one = ours.document("bill", "a")
    assert one == Document(id="a", sort="1", keys={"status": "PENDING"}, body=bodies["a"].encode())
    assert filled("a", "Käse 100% %s", "1", "2.50").body == bodies["a"].encode()
    there = theirs.document("bill", "a")
    assert there is not None
    assert there.body.decode() == '{"of":"other","é":[{"line":7}]}'
    put(ours, bill("a", "1", b'{"whole":1}'), filled("b", "now short"))
    assert {each.body.decode() for each in ours.documents("bill", EVERYTHING, Page()).rows} == {
        '{"whole":1}',
        '{"of":"now short","é":[]}',
        bodies["c"],
    }
    with pytest.raises(Refusal, match="has a character that cannot be stored"):
        put(ours, filled("d", "\0"))


def test_bodies_are_read_as_they_are_kept(new_organization: Callable[[], SqlOrganization]) -> None:
    ours, theirs = new_organization(), new_organization()
    put(ours, filled("a", "A", "1"), filled("b", "B"), bill("c", "2", b"{}", status="APPROVED"), filled("d", "D"))
    put(theirs, filled("a", "other", "7"))
    found = ours.kept(
        "bill", DocumentWhere(equal={"id": ["a", "c", "b"]}, between={"sort": ("1", None)}), ("id", "status")
    )
    assert sorted((*each.keys, each.stencil, each.body.decode()) for each in found) == [
        ("a", "PENDING", INVOICE, '{"of":"A","é":[{"line":1}]}'),
        ("b", "PENDING", INVOICE, '{"of":"B","é":[]}'),
        ("c", "APPROVED", None, "{}"),
    ]
    short = {each.keys[0]: each.text for each in found}
    assert short == {"a": filled("a", "A", "1").short, "b": filled("b", "B").short, "c": "{}"}
    assert [each.keys for each in ours.kept("bill", DocumentWhere(between={"sort": ("2", None)}), ("id",))] == [["c"]]
    assert ours.kept("bill", DocumentWhere(equal={"id": []}), ()) == []


def test_a_stencil_is_kept_with_what_fills_it_whatever_was_rolled_back(organization: SqlOrganization) -> None:
    own = stencil_of([f"[{HOLE}", "", "", "]"])

    def change_mind() -> None:
        with organization.transaction() as write:
            write.put_documents("bill", [filled("a", "1", stencil=own)])
            stored = write.document("bill", "a")
            assert stored is not None
            assert stored.body == b"[1]"
            raise RuntimeError("changed its mind")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="changed its mind"):
            change_mind()
    put(organization, filled("a", "1", stencil=own))
    stencils._known.clear()  # as in another process
    stored = organization.document("bill", "a")
    assert stored is not None
    assert stored.body == b"[1]"


def test_putting_again_overwrites_all_of_it(organization: SqlOrganization) -> None:
    put(organization, bill("a", "1", b"old", status="PENDING", job_id="j"), bill("b", "2"))
    put(organization, bill("a", "3", b"new", status="APPROVED"))
    assert organization.document("bill", "a") == bill("a", "3", b"new", status="APPROVED")
    assert ids(organization) == ["a", "b"]
    assert ids(organization, DocumentWhere(equal={"job_id": ["j"]})) == []
    put(organization, bill("b", "4", b"first"), bill("b", "5", b"last"))  # within one call the last one stays
    assert organization.document("bill", "b") == bill("b", "5", b"last")
    put(organization)


def test_removing_takes_one_document(organization: SqlOrganization) -> None:
    put(organization, bill("a"), bill("b"))
    with organization.transaction() as write:
        write.remove_document("bill", "a")
        write.remove_document("bill", "a")
        write.remove_document("event", "b")
        assert write.document("bill", "a") is None
    assert ids(organization) == ["b"]


def test_lists_fall_by_sort_in_the_order_of_code_points_then_by_when_they_were_added(
    organization: SqlOrganization,
) -> None:
    put(
        organization,
        *(bill(id=f"{name}/{sort}", sort=sort) for name, sort in ("1a", "2é", "3a", "4b", "5_", "6Z", "7a")),
    )
    put(organization, bill(id="3/a", sort="a", body=b"again"))  # keeps its place
    rows = organization.documents("bill", DocumentWhere(), Page()).rows
    assert [each.id for each in rows] == ["2/é", "4/b", "7/a", "3/a", "1/a", "5/_", "6/Z"]


def test_pages_of_equal_sort_neither_miss_nor_repeat(organization: SqlOrganization) -> None:
    bills = [bill(f"{number:05}", sort=str(number // 400), status="PENDING", locked="false") for number in range(1_200)]
    put(organization, *bills)
    where = DocumentWhere(equal={"status": ["PENDING"]}, between={"locked": ("false", None)})
    for condition in (DocumentWhere(), where):
        seen: list[Document] = []
        token = None
        while not seen or token is not None:
            page = organization.documents("bill", condition, Page(101, token))
            seen += page.rows
            token = page.next_token
            put(organization, bill(f"late{len(seen)}", sort="9", status="PENDING", locked="false"))
        assert [each.id for each in seen if not each.id.startswith("late")] == [each.id for each in reversed(bills)]


@pytest.mark.parametrize(
    ("between", "found"),
    [
        ({"end_date": ("2023-11-02", "2023-11-04")}, "432"),  # both edges belong to it
        ({"end_date": ("2023-11-02", None)}, "5432"),
        ({"end_date": (None, "2023-11-02")}, "21"),
        ({"end_date": (None, None)}, "654321"),
        ({"end_date": ("2023-11-04", "2023-11-02")}, ""),
        ({"end_date": ("2023-11-02T", "2023-11-04T")}, "43"),
        ({"end_date": ("2023-11-02", None), "start_date": (None, "2023-10-03")}, "32"),
        ({"sort": ("3", "5")}, "543"),
        ({"id": (None, "2")}, "21"),
    ],
)
def test_ranges_of_keys(organization: SqlOrganization, between: dict[str, Any], found: str) -> None:
    days = (bill(str(day), str(day), end_date=f"2023-11-0{day}", start_date=f"2023-10-0{day}") for day in range(1, 6))
    put(organization, *days, bill("6", "6"))  # the last has no dates: it lies in no range
    assert "".join(ids(organization, DocumentWhere(between=between))) == found


@pytest.mark.parametrize(
    ("equal", "found"),
    [
        ({"status": ["PENDING"]}, "31"),
        ({"status": ["PENDING", "APPROVED"]}, "321"),
        ({"status": ["pending"]}, ""),
        ({"status": []}, ""),
        ({"status": ["\0"]}, ""),
        ({"status": ["\0", "APPROVED"]}, "2"),
        ({"status": ["PENDING"], "account_id": ["acme"]}, "1"),
        ({"id": ["1", "2", "9"]}, "21"),
        ({"id": [str(number) for number in range(40_000)]}, "4321"),
        ({}, "4321"),
    ],
)
def test_equal_keys(organization: SqlOrganization, equal: dict[str, list[str]], found: str) -> None:
    put(
        organization,
        bill("1", "1", status="PENDING", account_id="acme"),
        bill("2", "2", status="APPROVED", account_id="acme"),
        bill("3", "3", status="PENDING", account_id="other"),
        bill("4", "4"),
    )
    assert "".join(ids(organization, DocumentWhere(equal=equal))) == found


def test_more_bills_in_a_call_than_a_statement_has_parameters(organization: SqlOrganization) -> None:
    many = [bill(f"{number:05}", status="PENDING", account_id=f"a{number}") for number in range(5_000)]
    put(organization, *many)  # 13 columns each: 65,000 parameters
    put(organization, *(bill(each.id, status="APPROVED") for each in many))
    assert len(organization.documents("bill", DocumentWhere(equal={"status": ["APPROVED"]}), Page(6_000)).rows) == 5_000


def test_two_organizations_with_equal_documents_never_meet(new_organization: Callable[[], SqlOrganization]) -> None:
    ours, theirs = new_organization(), new_organization()
    put(ours, bill("a", body=b"ours", status="PENDING"))
    assert theirs.document("bill", "a") is None
    assert ids(theirs, DocumentWhere(equal={"status": ["PENDING"]})) == []
    put(theirs, bill("a", body=b"theirs", status="APPROVED"))
    assert ours.document("bill", "a") == bill("a", body=b"ours", status="PENDING")
    with theirs.transaction() as write:
        write.remove_document("bill", "a")
    assert ids(ours) == ["a"]
    assert ids(theirs) == []


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (bill("a", status="a\0b"), "status"),
        (bill("a", status="\ud800"), "status"),
        (bill("a", body=b'{"a":"\0"}'), "body"),
        (bill("a", body=b"\xff"), "body"),
        (bill("a\0"), "id"),
        (bill("a", "\0"), "sort"),
    ],
)
def test_what_no_database_can_hold_is_refused(organization: SqlOrganization, document: Document, field: str) -> None:
    with pytest.raises(Refusal, match=field) as refused:
        put(organization, bill("before"), document)
    assert (refused.value.code.name, refused.value.field) == ("invalid_request", field)
    assert ids(organization) == []


@pytest.mark.parametrize("edges", [("\0", None), (None, "\0")])
def test_a_range_with_such_a_text_is_refused(organization: SqlOrganization, edges: Any) -> None:
    with pytest.raises(Refusal, match="end_date") as refused:
        organization.documents("bill", DocumentWhere(between={"end_date": edges}), Page())
    assert refused.value.code.name == "invalid_request"


def test_unknown_kinds_and_keys_are_bugs(organization: SqlOrganization) -> None:
    with pytest.raises(AssertionError, match="no kind of document is called invoice"):
        organization.document("invoice", "a")
    with pytest.raises(AssertionError, match=r"bill has no key \['colour'\]"):
        put(organization, bill("a", colour="red"))
    for where in (DocumentWhere(equal={"colour": ["red"]}), DocumentWhere(between={"colour": ("red", None)})):
        with pytest.raises(AssertionError, match="bill has no key colour"):
            organization.documents("bill", where, Page())
