"""The measurements behind an answer: stretch by stretch, and one by one; the same on every store."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from usage_examples import EVERYTHING, D, Tenant, at, usage

from tallystick.core.aggregation import Method, Question
from tallystick.core.period import Period
from tallystick.ports import Behind

DAYS = [at("2025-06-01"), at("2025-06-02"), at("2025-06-03")]
JUNE = Period(at("2025-06-01"), at("2025-06-04"))

ROWS = [
    usage({"bytes": 5, "region": "eu"}, ts="2025-05-31T23:59:59.999Z", uid="early"),
    usage({"bytes": 10, "region": "eu"}, ts="2025-06-01T00:00:00Z", uid="a"),
    usage({"bytes": 30, "region": "us"}, ts="2025-06-01T23:59:59.999Z", uid="b"),
    usage({"bytes": 10, "region": "eu"}, ts="2025-06-03T00:00:00Z", uid="c"),
    usage({"bytes": 20, "region": "eu"}, ts="2025-06-03T00:00:00Z", uid="d"),
    usage({"cost": 9, "region": "eu"}, ts="2025-06-03T00:00:00Z", uid="without bytes"),
    usage({"bytes": 40}, ts="2025-06-03T12:00:00Z", uid="e"),
    usage({"bytes": 99}, ts="2025-06-04T00:00:00Z", uid="the end does not belong to it"),
    usage({"bytes": 70}, ts="2025-06-02T12:00:00Z", account="grace", uid="hers"),
    usage({"bytes": 50}, ts="2025-06-02T12:00:00Z", uid="late"),
]
BEYOND_THE_ENGINE = "bytes / 3 > 0 AND region == 'eu'"  # only Python divides


def asked(
    method: str = "SUM",
    segment: tuple[str, ...] = (),
    above: int = 0,
    accounts: tuple[str, ...] = ("ada",),
    field: str = "bytes",
    percentile: str | None = None,
    **more: object,
) -> Behind:
    question = Question(
        meter_id="storage",
        method=Method(method),
        field=field,
        period=JUNE,
        up_to=EVERYTHING,
        accounts=accounts,
        percentile=None if percentile is None else D(percentile),
        segmented_fields=("region",) if segment else (),
        pooled=len(accounts) > 1,
        **more,  # type: ignore[arg-type]  # the named fields of Question
    )
    return Behind(question=question, segment=segment, above=above)


def days(tenant: Tenant, behind: Behind) -> list[tuple[int, str, int]]:
    """(day of June, total, count)."""
    found = tenant.store.organization(tenant.id).by_stretch(behind, DAYS)
    return [(start.day, format(found[start].total, "f"), found[start].count) for start in sorted(found)]


def uids(tenant: Tenant, behind: Behind) -> list[str]:
    return [row.uid for row in tenant.store.organization(tenant.id).behind(behind, None, 100)]


@pytest.mark.parametrize(
    ("behind", "by_day", "rows"),
    [
        (asked("SUM"), [(1, "40", 2), (2, "50", 1), (3, "70", 3)], "e d c late b a"),
        (asked("COUNT"), [(1, "2", 2), (2, "1", 1), (3, "3", 3)], "e d c late b a"),
        (asked("COUNT", field="region"), [(1, "2", 2), (3, "3", 3)], "without_bytes d c b a"),
        (asked("MEAN"), [(1, "40", 2), (2, "50", 1), (3, "70", 3)], "e d c late b a"),
        (asked("MAX"), [(1, "30", 2), (2, "50", 1), (3, "40", 3)], "e d c late b a"),
        (asked("MIN"), [(1, "10", 2), (2, "50", 1), (3, "10", 3)], "e d c late b a"),
        (asked("LATEST"), [(1, "30", 2), (2, "50", 1), (3, "40", 3)], "e d c late b a"),
        (asked("PERCENTILE", percentile="50"), [(1, "10", 2), (2, "50", 1), (3, "20", 3)], "e d c late b a"),
        # 10 and 30 are new on the first day, 50 on the second, 20 and 40 on the third, which has 10 again.
        (asked("UNIQUE"), [(1, "2", 2), (2, "1", 1), (3, "2", 3)], "e d c late b a"),
        (asked("UNIQUE", field="region"), [(1, "2", 2), (3, "0", 3)], "without_bytes d c b a"),
        (asked("SUM", segment=("eu",)), [(1, "10", 1), (3, "30", 2)], "d c a"),
        (asked("SUM", segment=("",)), [(2, "50", 1), (3, "40", 1)], "e late"),
        (asked("SUM", accounts=("ada", "grace")), [(1, "40", 2), (2, "120", 2), (3, "70", 3)], "e d c late hers b a"),
        (asked("SUM", accounts=()), [], ""),
        (asked("SUM", filter="bytes > 20"), [(1, "30", 1), (2, "50", 1), (3, "40", 1)], "e late b"),
        (asked("SUM", filter=BEYOND_THE_ENGINE), [(1, "10", 1), (3, "30", 2)], "d c a"),
        (asked("SUM", field="nothing"), [], ""),
    ],
)
def test_a_day_has_what_was_measured_on_it(
    tenant: Tenant, behind: Behind, by_day: list[tuple[int, str, int]], rows: str
) -> None:
    tenant.add(*ROWS)
    assert days(tenant, behind) == by_day
    assert [uid.replace(" ", "_") for uid in uids(tenant, behind)] == rows.split()


def test_only_what_came_after_a_position(tenant: Tenant) -> None:
    kept = tenant.add(*ROWS)
    assert uids(tenant, asked(above=kept[4].position)) == ["e", "late"]
    assert days(tenant, asked(above=kept[4].position)) == [(2, "50", 1), (3, "40", 1)]


@pytest.mark.parametrize("where", [None, BEYOND_THE_ENGINE + " OR bytes > 0"])
def test_pages_follow_each_other(tenant: Tenant, where: str | None) -> None:
    tenant.add(*ROWS)
    usage_store, found, after = tenant.store.organization(tenant.id), [], None
    while True:
        page = usage_store.behind(asked(filter=where), after, 2)
        found += [row.uid for row in page[:2]]
        if len(page) < 3:
            break
        after = (page[1].ts, page[1].uid)
    assert found == ["e", "d", "c", "late", "b", "a"]


@pytest.mark.parametrize(
    ("stream", "rows"),
    [(None, ["e", "d", "c", "late", "b", "a", "early"]), ("region", ["d", "c", "b", "a", "early", "before"])],
)
def test_of_a_gauge_also_what_held_at_the_start(tenant: Tenant, stream: str | None, rows: list[str]) -> None:
    before = [
        usage({"bytes": 1, "region": "us"}, ts="2025-04-01T00:00:00Z", uid="before"),
        usage({"bytes": 2, "region": "eu"}, ts="2025-05-01T00:00:00Z", uid="overtaken"),
    ]
    tenant.add(*before, *ROWS)
    assert uids(tenant, asked("TIME_WEIGHTED_MEAN", gauge=True, gauge_field=stream, time_unit=1)) == rows


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"method": "COUNT", "field": "region"},
        {"method": "UNIQUE", "field": "region"},
        {"segment": ("eu",)},
        {"above": 3},
        {"accounts": ("ada", "grace")},
        {"filter": "bytes > 10"},
        {"filter": BEYOND_THE_ENGINE},
        {"method": "LATEST", "gauge": True},
        {"accounts": ("nobody",)},
        {"field": "unknown"},
    ],
)
def test_the_hash_of_a_set_is_that_of_its_members(tenant: Tenant, more: dict[str, Any]) -> None:
    """Made here from the list of members, as the documentation of the format says."""

    tenant.add(*ROWS)
    view, behind = tenant.store.organization(tenant.id), asked(**more)
    total = 0
    rows = view.behind(behind, None, 1_000)
    for row in rows:
        number, text = row.numbers.get(behind.question.field), row.texts.get(behind.question.field) or ""
        micros = int(row.ts.timestamp()) * 1_000_000 + row.ts.microsecond
        counted = "" if number is None else f"{number:f}"
        hashed = f"{row.position} {micros} {counted} {len(row.uid.encode())} {row.uid}{text}"
        total += int.from_bytes(hashlib.sha256(hashed.encode()).digest(), "little")
    found = view.set_of(behind)
    assert (found.measurements, found.hash) == (len(rows), f"{total % 2**256:064x}")
