"""Lookup tables through m3ter's own client, whose types check every answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError
from storefront import NOWHERE, read, refused, send

FIELDS = [
    {"name": "model", "type": "STRING"},
    {"name": "tier", "type": "NUMBER"},
    {"name": "credits", "type": "NUMBER"},
    {"name": "label", "type": "STRING"},
]
ROWS: list[dict[str, object]] = [
    {"model": "small", "tier": 1, "credits": 0.25, "label": "S"},
    {"model": "large", "tier": 1, "credits": 3},
    {"model": "large", "tier": 2, "credits": 2.5, "label": "L2"},
]


def draft(client: M3ter, table: str, name: str = "First", **changes: Any) -> str:
    body: dict[str, Any] = {"name": name, "fields": FIELDS, "keys": ["model", "tier"], **changes}
    return client.lookup_tables.lookup_table_revisions.create(lookup_table_id=table, **body).id


@pytest.fixture
def table(client: M3ter) -> str:
    return client.lookup_tables.create(name="Credits", code="credits").id


@pytest.fixture
def revision(client: M3ter, table: str) -> str:
    return draft(client, table)


def set_status(client: M3ter, table: str, revision: str, status: Any, **more: Any) -> Any:
    revisions = client.lookup_tables.lookup_table_revisions
    return revisions.update_status(id=revision, lookup_table_id=table, status=status, **more)


class Rows:
    """The rows of one revision."""

    def __init__(self, client: M3ter, table: str, revision: str) -> None:
        self.api = client.lookup_tables.lookup_table_revision_data
        self.of = {"lookup_table_revision_id": revision, "lookup_table_id": table}

    def put(self, *items: dict[str, object], **more: Any) -> Any:
        return self.api.update(**self.of, items=items, **more)

    def get(self, **more: Any) -> Any:
        return self.api.retrieve(**self.of, **more)


@pytest.fixture
def rows(client: M3ter, table: str, revision: str) -> Rows:
    return Rows(client, table, revision)


def test_a_table_is_created_changed_listed_and_deleted(client: M3ter) -> None:
    made = client.lookup_tables.create(name="Credits", code="credits", custom_fields={"owner": "ada"})
    assert (made.name, made.code, made.version, made.custom_fields) == ("Credits", "credits", 1, {"owner": "ada"})
    changed = client.lookup_tables.update(id=made.id, name="Prices", code="prices", version=1)
    assert (changed.name, changed.code, changed.version) == ("Prices", "prices", 2)
    other = client.lookup_tables.create(name="Other", code="other")
    assert {each.id for each in client.lookup_tables.list()} == {made.id, other.id}
    assert [each.id for each in client.lookup_tables.list(codes=["prices"])] == [made.id]
    with pytest.raises(BadRequestError, match="prices"):
        client.lookup_tables.create(name="Again", code="prices")
    assert client.lookup_tables.delete(id=made.id).id == made.id
    with pytest.raises(NotFoundError):
        client.lookup_tables.retrieve(id=made.id)


def test_a_revision_is_created_changed_listed_and_deleted(client: M3ter, table: str, revision: str) -> None:
    revisions = client.lookup_tables.lookup_table_revisions
    found = revisions.retrieve(id=revision, lookup_table_id=table)
    assert (found.status, found.item_count, found.keys) == ("DRAFT", 0, ["model", "tier"])
    assert [(field.name, field.type) for field in found.fields or ()] == [
        (each["name"], each["type"]) for each in FIELDS
    ]
    changed = revisions.update(
        id=revision, lookup_table_id=table, name="Better", fields=FIELDS, keys=["model"], start_date="2025-06-01"
    )
    assert (changed.name, changed.keys, changed.version) == ("Better", ["model"], 2)
    other = draft(client, client.lookup_tables.create(name="Other", code="other").id)
    assert [each.id for each in revisions.list(lookup_table_id=table)] == [revision]
    with pytest.raises(NotFoundError):
        revisions.retrieve(id=other, lookup_table_id=table)
    with pytest.raises(BadRequestError, match=revision):
        client.lookup_tables.delete(id=table)
    assert revisions.delete(id=revision, lookup_table_id=table).id == revision
    assert client.lookup_tables.delete(id=table).id == table


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fields": FIELDS[:1]}, "fields"),
        ({"fields": FIELDS * 3}, "fields"),
        ({"fields": [*FIELDS, FIELDS[0]]}, "each name once"),
        ({"keys": []}, "keys"),
        ({"keys": ["model", "model"]}, "each field once"),
        ({"keys": ["planet"]}, "'planet' is none of the fields"),
        ({"keys": [each["name"] for each in FIELDS]}, "at least one field must not be a key"),
        ({"extra_body": {"status": "PUBLISHED"}}, "begins as a DRAFT"),
    ],
)
def test_a_revision_that_makes_no_table_is_refused(client: M3ter, table: str, changes: Any, says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        draft(client, table, **changes)


def test_rows_are_added_replaced_and_deleted(rows: Rows) -> None:
    assert rows.get().items == []
    made = rows.put(*ROWS, additional=["lookupKey"])
    assert made.version == 1
    assert [each["lookupKey"] for each in made.items] == ["large,1", "large,2", "small,1"]
    assert rows.put({"model": "large", "tier": 1.0, "credits": 4}, version=1).version == 2
    found = rows.get(additional=["lookupKey"])
    assert found.items[0] == {"model": "large", "tier": 1, "credits": 4, "lookupKey": "large,1"}
    assert (len(found.items), len(rows.get(limit=1).items), found.version) == (3, 1, 2)
    with pytest.raises(BadRequestError, match="version 2"):
        rows.put(*ROWS, version=1)
    assert rows.api.delete(**rows.of).result
    assert rows.get().items == []


def test_one_row_is_reached_by_its_key(rows: Rows) -> None:
    rows.put(*ROWS)
    one = rows.api.retrieve_key("large,2", **rows.of)
    assert one.items == [{"model": "large", "tier": 2, "credits": 2.5, "label": "L2"}]
    item = {"model": "huge", "tier": 1, "credits": 9}
    assert rows.api.update_key("huge,1", **rows.of, item=item, version=1).items == [item]
    assert rows.api.delete_key("huge,1", **rows.of, version=2).items == [item]
    with pytest.raises(NotFoundError, match="huge,1"):
        rows.api.retrieve_key("huge,1", **rows.of)
    with pytest.raises(NotFoundError):
        rows.api.delete_key("huge,1", **rows.of)
    with pytest.raises(BadRequestError, match="the path says 'large,7'"):
        rows.api.update_key("large,7", **rows.of, item=item)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"model": "a", "credits": 1}, r"items\[0\].tier: is a key"),
        ({"model": "a", "tier": "1", "credits": 1}, r"items\[0\].tier: must be a number"),
        ({"model": 1, "tier": 1}, r"items\[0\].model: must be a text"),
        ({"model": "a,b", "tier": 1}, "no comma"),
        ({"model": "a", "tier": 1, "planet": "x"}, r"items\[0\].planet: is no field"),
        ({"model": "a", "tier": True}, "must be a number"),
        ({"model": "", "tier": 1}, "must be a text"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(rows: Rows, row: dict[str, object], says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        rows.put(row)
    assert rows.get().items == []


def test_a_key_is_given_once_and_rows_have_bounds(rows: Rows) -> None:
    with pytest.raises(BadRequestError, match="'large,1' is given twice"):
        rows.put(ROWS[1], ROWS[1])
    with pytest.raises(BadRequestError, match="items"):
        rows.put(*({"model": "a", "tier": tier, "credits": 1} for tier in range(2001)))


def test_publishing_archives_the_revision_before(client: M3ter, table: str, revision: str) -> None:
    published = set_status(client, table, revision, "PUBLISHED", version=1)
    assert (published.status, published.version) == ("PUBLISHED", 2)
    second = draft(client, table, "Second")
    assert set_status(client, table, second, "PUBLISHED").status == "PUBLISHED"
    revisions = client.lookup_tables.lookup_table_revisions
    assert {each.id: each.status for each in revisions.list(lookup_table_id=table)} == {
        revision: "ARCHIVED",
        second: "PUBLISHED",
    }
    shown = client.lookup_tables.retrieve(id=table, additional=["activeRevision"])
    assert shown.active_revision is not None
    assert shown.active_revision.id == second
    assert client.lookup_tables.retrieve(id=table).active_revision is None
    (listed,) = client.lookup_tables.list(additional=["activeRevision"])
    assert listed.active_revision == shown.active_revision


@pytest.mark.parametrize(
    ("path", "status"),
    [(("PUBLISHED",), "DRAFT"), (("PUBLISHED", "ARCHIVED"), "PUBLISHED"), (("ARCHIVED",), "PUBLISHED"), ((), "DRAFT")],
)
def test_a_revision_goes_one_way(client: M3ter, table: str, revision: str, path: Any, status: str) -> None:
    for each in path:
        set_status(client, table, revision, each)
    with pytest.raises(BadRequestError, match="goes from DRAFT to PUBLISHED to ARCHIVED"):
        set_status(client, table, revision, status)


def test_what_is_published_stays_as_it_is(client: M3ter, table: str, revision: str, rows: Rows) -> None:
    rows.put(*ROWS)
    revisions = client.lookup_tables.lookup_table_revisions
    with pytest.raises(BadRequestError, match="has rows: delete them"):
        revisions.update(id=revision, lookup_table_id=table, name="First", fields=FIELDS, keys=["model"])
    set_status(client, table, revision, "PUBLISHED")
    for change in (
        lambda: rows.put(*ROWS),
        lambda: rows.api.delete(**rows.of),
        lambda: rows.api.delete_key("large,1", **rows.of),
        lambda: rows.api.update_key("large,1", **rows.of, item=ROWS[1]),
    ):
        with pytest.raises(BadRequestError, match="only the rows of a DRAFT"):
            change()
    with pytest.raises(BadRequestError, match="was published"):
        revisions.delete(id=revision, lookup_table_id=table)
    with pytest.raises(BadRequestError, match="a revision was published under it"):
        client.lookup_tables.update(id=table, name="Credits", code="renamed")
    body: dict[str, Any] = {"fields": FIELDS, "keys": ["model", "tier"]}
    with pytest.raises(BadRequestError, match="startDate"):
        revisions.update(id=revision, lookup_table_id=table, name="First", start_date="2025-01-01", **body)
    renamed = revisions.update(id=revision, lookup_table_id=table, name="Renamed", **body)
    assert (renamed.name, renamed.status, renamed.item_count) == ("Renamed", "PUBLISHED", 3)


def test_rows_are_copied(client: M3ter, table: str, revision: str, rows: Rows) -> None:
    rows.put(*ROWS)
    set_status(client, table, revision, "PUBLISHED")
    made = rows.api.copy(**rows.of)
    assert made.job_id
    assert made.revision_id is not None
    copied = client.lookup_tables.lookup_table_revisions.retrieve(id=made.revision_id, lookup_table_id=table)
    assert (copied.name, copied.status, copied.item_count) == ("First Copy", "DRAFT", 3)
    assert Rows(client, table, made.revision_id).get().items == rows.get().items
    target = draft(client, table, "Target")
    assert rows.api.copy(**rows.of, revision_id=target).revision_id == target
    assert len(Rows(client, table, target).get().items) == 3
    with pytest.raises(BadRequestError, match="revisionId"):
        rows.api.copy(**rows.of, revision_id=revision)
    with pytest.raises(BadRequestError, match="differ in their fields or keys"):
        rows.api.copy(**rows.of, revision_id=draft(client, table, "Other", keys=["model"]))
    with pytest.raises(BadRequestError, match="there is no lookup table revision"):
        rows.api.copy(**rows.of, revision_id=NOWHERE)


# ------------------------------------------------------------------------------------------------------ formulas

METER: dict[str, Any] = {
    "name": "Calls",
    "code": "calls",
    "dataFields": [
        {"code": "model", "name": "Model", "category": "WHAT"},
        {"code": "calls", "name": "Calls", "category": "MEASURE", "unit": "calls"},
    ],
    "derivedFields": [],
}


def derived(calculation: str) -> dict[str, Any]:
    field = {"code": "credits", "name": "Credits", "category": "MEASURE", "unit": "credits", "calculation": calculation}
    return {**METER, "derivedFields": [field]}


@pytest.mark.parametrize(
    ("calculation", "says"),
    [
        ("lookup('nothing', 'credits', model)", "there is no lookup table with the code 'nothing'"),
        ("lookup('credits', 'price', model, 1)", "has no field 'price'"),
        ("lookup('credits', 'credits', model)", "has the keys model, tier: give each"),
        ("lookup(model, 'credits', model, 1)", "names its table and field by texts"),
        ("lookup('credits', 'credits')", "takes 3 to 7 arguments"),
        ("lookups('credits', 'credits', model, 1)", "did you mean lookup?"),
    ],
)
def test_a_formula_names_tables_that_exist(
    client: M3ter, http: httpx.Client, table: str, revision: str, calculation: str, says: str
) -> None:
    set_status(client, table, revision, "PUBLISHED")
    assert says in refused(send(http, "POST", "/meters", derived(calculation)))["message"]


def test_a_table_that_a_formula_reads_stays(client: M3ter, http: httpx.Client, table: str) -> None:
    meter = read(send(http, "POST", "/meters", derived("calls * lookup('credits', 'credits', model, 1)")))["id"]
    with pytest.raises(BadRequestError, match=meter):
        client.lookup_tables.delete(id=table)
    with pytest.raises(BadRequestError, match=meter):
        client.lookup_tables.update(id=table, name="Credits", code="renamed")
    assert client.lookup_tables.update(id=table, name="Renamed", code="credits").name == "Renamed"


def test_filters_read_no_tables(http: httpx.Client, table: str) -> None:
    meter = read(send(http, "POST", "/meters", METER))["id"]
    body = {"name": "A", "code": "a", "meterId": meter, "targetField": "calls", "aggregation": "SUM", "unit": "calls"}
    body |= {"quantityPerUnit": 1, "rounding": "NONE", "filter": "lookup('credits', 'credits', model, 1) > 1"}
    assert "no function 'lookup'" in refused(send(http, "POST", "/aggregations", body))["message"]
