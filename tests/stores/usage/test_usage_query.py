"""Usage queries: groups, columns side by side, filters, order and limits; the same on every store."""

from __future__ import annotations

from dataclasses import replace

import pytest
from usage_examples import ACCOUNT, D, Tenant, ask, at, column, dimension, numbers, time_group, usage

from tallystick.ports import UsageAnswer, UsageFilter, UsageQuery, UsageStore

EU = UsageFilter(meter_id="storage", field="region", values=("eu",))


def totals(answers: list[UsageAnswer]) -> list[tuple[object, ...]]:
    """Groups and first column of each row; instants as they are written on the wire."""
    return [
        (*(getattr(group, "wire", lambda group=group: group)() for group in answer.groups), answer.values[0][0])
        for answer in answers
        if answer.values[0] is not None
    ]


@pytest.fixture
def busy(tenant: Tenant) -> Tenant:
    """Two meters, three accounts, two months."""
    tenant.add(
        usage({"bytes": 1, "region": "eu"}, ts="2025-05-31T23:00:00Z", account="ada"),
        usage({"bytes": 2, "region": "us"}, ts="2025-06-01T00:00:00Z", account="ada"),
        usage({"bytes": 4, "region": "eu"}, ts="2025-06-01T01:00:00Z", account="grace"),
        usage({"bytes": 8}, ts="2025-06-02T00:00:00Z", account="ada"),
        usage({"calls": 100, "region": "eu"}, ts="2025-06-01T05:00:00Z", account="ada", meter="api"),
        usage({"calls": 200, "region": "ap"}, ts="2025-06-02T05:00:00Z", account="hedy", meter="api"),
    )
    return tenant


def test_without_groups_there_is_one_row(busy: Tenant) -> None:
    functions = ["SUM", "MIN", "MAX", "COUNT", "LATEST", "MEAN", "UNIQUE"]
    (answer,) = busy.query(ask(*(column(function) for function in functions)))
    assert answer == UsageAnswer(
        groups=(), values=((D(15), 4), (D(1), 4), (D(8), 4), (D(4), 4), (D(8), 4), (D(15), 4), (D(4), 4))
    )


def test_texts_are_counted_and_told_apart(busy: Tenant) -> None:
    (answer,) = busy.query(ask(column("COUNT", "region"), column("UNIQUE", "region")))
    assert answer.values == ((D(3), 3), (D(2), 3))


def test_columns_of_several_meters_stand_side_by_side(busy: Tenant) -> None:
    found = busy.query(ask(column("SUM"), column("SUM", "calls", "api"), by=(ACCOUNT,)))
    assert [(*answer.groups, *answer.values) for answer in found] == [
        ("ada", (D(11), 3), (D(100), 1)),
        ("grace", (D(4), 1), None),
        ("hedy", None, (D(200), 1)),
    ]
    by_day = busy.query(ask(column("SUM"), column("SUM", "calls", "api"), by=(time_group("DAY"),)))
    assert [(answer.groups[0], *answer.values) for answer in by_day] == [
        (at("2025-06-02"), (D(8), 1), (D(200), 1)),
        (at("2025-06-01"), (D(6), 2), (D(100), 1)),
        (at("2025-05-31"), (D(1), 1), None),
    ]


def test_a_column_of_a_meter_that_is_not_searched_is_empty(busy: Tenant) -> None:
    """Although the two meters have their numbers in the same place."""
    (answer,) = busy.query(ask(column("SUM"), column("SUM", "calls", "api"), meters=("api",)))
    assert answer.values == (None, (D(300), 2))


def test_a_dimension_is_of_one_meter_and_others_lack_it(busy: Tenant) -> None:
    found = busy.query(ask(column("SUM"), column("SUM", "calls", "api"), by=(dimension("region"),)))
    assert [(*answer.groups, *answer.values) for answer in found] == [
        ("eu", (D(5), 2), None),
        ("us", (D(2), 1), None),
        (None, (D(8), 1), (D(300), 2)),
    ]


def test_an_empty_text_is_a_group_of_its_own(tenant: Tenant) -> None:
    tenant.add(usage({"bytes": 1, "region": ""}), usage({"bytes": 2}), usage({"bytes": 4, "region": "a"}))
    assert totals(tenant.query(ask(column("SUM"), by=(dimension("region"),)))) == [("", 1), ("a", 4), (None, 2)]
    assert totals(tenant.query(ask(column("SUM"), by=(dimension("never"),)))) == [(None, 7)]


def test_the_latest_time_comes_first_then_the_other_groups_rise(busy: Tenant) -> None:
    found = busy.query(ask(column("SUM"), by=(ACCOUNT, time_group("MONTH"), dimension("region"))))
    assert totals(found) == [
        ("ada", "2025-06-01T00:00:00.000Z", "us", 2),
        ("ada", "2025-06-01T00:00:00.000Z", None, 8),
        ("grace", "2025-06-01T00:00:00.000Z", "eu", 4),
        ("ada", "2025-05-01T00:00:00.000Z", "eu", 1),
    ]


def test_two_time_groups(busy: Tenant) -> None:
    found = busy.query(ask(column("SUM"), by=(time_group("QUARTER"), time_group("DAY")), start="2025-06-01"))
    quarter = "2025-04-01T00:00:00.000Z"
    assert totals(found) == [(quarter, "2025-06-02T00:00:00.000Z", 8), (quarter, "2025-06-01T00:00:00.000Z", 6)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (ask(column("SUM"), filters=(EU,)), [5]),
        (ask(column("SUM"), filters=(EU,), accounts=("ada",)), [1]),
        (ask(column("SUM"), accounts=("ada", "hedy")), [11]),
        (ask(column("SUM"), accounts=("nobody",)), []),
        (ask(column("SUM"), start="2025-06-01", end="2025-06-02"), [6]),
        (ask(column("SUM"), start="2025-06-02", end="2025-06-02"), []),
        (ask(column("SUM"), meters=("storage", "api")), [15]),
        (ask(column("SUM"), meters=("api",)), []),
        (ask(column("SUM"), filters=(UsageFilter(meter_id="storage", field="region", values=("eu", "us")),)), [7]),
        (ask(column("SUM"), filters=(EU, UsageFilter(meter_id="storage", field="region", values=("us",)))), []),
        (ask(column("SUM"), filters=(UsageFilter(meter_id="storage", field="never", values=("",)),)), []),
        (ask(column("SUM"), filters=(UsageFilter(meter_id="storage", field="bytes", values=("1",)),)), []),
        (ask(column("SUM", "calls", "api"), filters=(EU,)), [300]),  # a filter speaks of its own meter
        (ask(column("SUM"), filters=(UsageFilter(meter_id="never", field="region", values=("eu",)),)), [15]),
        (ask(column("SUM", "never")), []),
        (ask(column("SUM", meter="never")), []),
        (ask(column("SUM", "region")), []),
    ],
)
def test_what_a_query_looks_at(busy: Tenant, asked: UsageQuery, expected: list[int]) -> None:
    assert [answer.values[0][0] for answer in busy.query(asked) if answer.values[0]] == expected


@pytest.mark.parametrize(("limit", "rows"), [(1, 2), (2, 3), (3, 3)])
def test_one_row_more_than_the_limit_says_that_there_is_more(busy: Tenant, limit: int, rows: int) -> None:
    assert len(busy.query(ask(column("SUM"), by=(time_group("DAY"),), limit=limit))) == rows
    assert busy.query(ask(column("SUM"), by=(time_group("DAY"),), limit=limit))[0].groups == (at("2025-06-02"),)
    assert len(busy.raw(ask(limit=limit))) == limit + 1


def test_totals_have_no_bounds(tenant: Tenant) -> None:
    tenant.add(*numbers(*["99999999999999999999.999999999999999999"] * 5))
    (answer,) = tenant.query(ask(column("SUM"), column("MEAN")))
    assert answer.values == ((D("499999999999999999999.999999999999999995"), 5),) * 2


MOMENTS = {
    # Berlin: the clocks go forward on 30 March, back on 26 October 2025.
    "Europe/Berlin": {
        "2025-03-29T22:59:59.999999Z": ("2025-03-29T22:00", "2025-03-28T23:00", "2025-03-23T23:00", "2025-02-28T23:00"),
        "2025-03-30T00:30:00Z": ("2025-03-30T00:00", "2025-03-29T23:00", "2025-03-23T23:00", "2025-02-28T23:00"),
        "2025-03-30T01:00:00Z": ("2025-03-30T01:00", "2025-03-29T23:00", "2025-03-23T23:00", "2025-02-28T23:00"),
        "2025-03-30T22:00:00Z": ("2025-03-30T22:00", "2025-03-30T22:00", "2025-03-30T22:00", "2025-02-28T23:00"),
        "2025-10-26T00:59:00Z": ("2025-10-26T00:00", "2025-10-25T22:00", "2025-10-19T22:00", "2025-09-30T22:00"),
        "2025-10-26T01:00:00Z": ("2025-10-26T01:00", "2025-10-25T22:00", "2025-10-19T22:00", "2025-09-30T22:00"),
        "2025-10-26T23:30:00Z": ("2025-10-26T23:00", "2025-10-26T23:00", "2025-10-26T23:00", "2025-09-30T22:00"),
    },
    # Kathmandu is 5:45 ahead, Kolkata 5:30: hours start at odd minutes of UTC.
    "Asia/Kathmandu": {
        "2025-06-15T18:14:59Z": ("2025-06-15T17:15", "2025-06-14T18:15", "2025-06-08T18:15", "2025-05-31T18:15"),
        "2025-06-15T18:15:00Z": ("2025-06-15T18:15", "2025-06-15T18:15", "2025-06-15T18:15", "2025-05-31T18:15"),
    },
    # In São Paulo there was no midnight on 4 November 2018: the day began at one.
    "America/Sao_Paulo": {
        "2018-11-04T02:59:59Z": ("2018-11-04T02:00", "2018-11-03T03:00", "2018-10-29T03:00", "2018-11-01T03:00"),
        "2018-11-04T03:00:00Z": ("2018-11-04T03:00", "2018-11-04T03:00", "2018-10-29T03:00", "2018-11-01T03:00"),
    },
    # In Havana midnight of 3 November 2024 came twice; the day began with the first.
    "America/Havana": {
        "2024-11-03T04:30:00Z": ("2024-11-03T04:00", "2024-11-03T04:00", "2024-10-28T04:00", "2024-11-01T04:00"),
        "2024-11-03T05:30:00Z": ("2024-11-03T05:00", "2024-11-03T04:00", "2024-10-28T04:00", "2024-11-01T04:00"),
    },
    # Lord Howe changes its clocks by half an hour: on 6 April 2025 from 02:00 back to 01:30.
    "Australia/Lord_Howe": {
        "2025-04-05T14:59:00Z": ("2025-04-05T14:00", "2025-04-05T13:00", "2025-03-30T13:00", "2025-03-31T13:00"),
        "2025-04-05T15:10:00Z": ("2025-04-05T15:00", "2025-04-05T13:00", "2025-03-30T13:00", "2025-03-31T13:00"),
        "2025-04-05T15:30:00Z": ("2025-04-05T15:30", "2025-04-05T13:00", "2025-03-30T13:00", "2025-03-31T13:00"),
    },
    # Apia had no 30 December 2011.
    "Pacific/Apia": {
        "2011-12-30T09:59:59Z": ("2011-12-30T09:00", "2011-12-29T10:00", "2011-12-26T10:00", "2011-12-01T10:00"),
        "2011-12-30T10:00:00Z": ("2011-12-30T10:00", "2011-12-30T10:00", "2011-12-26T10:00", "2011-12-01T10:00"),
    },
    "UTC": {
        "1970-01-01T00:00:00Z": ("1970-01-01T00:00", "1970-01-01T00:00", "1969-12-29T00:00", "1970-01-01T00:00"),
        "2262-04-11T23:47:16Z": ("2262-04-11T23:00", "2262-04-11T00:00", "2262-04-07T00:00", "2262-04-01T00:00"),
    },
}


@pytest.mark.parametrize("zone", MOMENTS)
@pytest.mark.parametrize(("place", "frequency"), list(enumerate(("HOUR", "DAY", "WEEK", "MONTH"))))
def test_time_groups_start_as_clocks_in_the_zone_say(tenant: Tenant, zone: str, place: int, frequency: str) -> None:
    moments = MOMENTS[zone]
    tenant.add(*(usage({"bytes": 1, "moment": moment}, ts=moment) for moment in moments))
    found = tenant.query(ask(column("SUM"), by=(dimension("moment"), time_group(frequency)), zone=zone))
    started = {answer.groups[0]: answer.groups[1] for answer in found}
    assert started == {moment: at(f"{starts[place]}:00Z") for moment, starts in moments.items()}


@pytest.mark.parametrize(
    ("ts", "start"),
    [
        ("2025-03-31T21:59:59Z", "2024-12-31T23:00:00Z"),
        ("2025-03-31T22:00:00Z", "2025-03-31T22:00:00Z"),
        ("2025-07-01T00:00:00Z", "2025-06-30T22:00:00Z"),
        ("2025-12-31T22:59:59Z", "2025-09-30T22:00:00Z"),
        ("2025-12-31T23:00:00Z", "2025-12-31T23:00:00Z"),
    ],
)
def test_quarters_start_in_january_april_july_and_october(tenant: Tenant, ts: str, start: str) -> None:
    tenant.add(usage({"bytes": 1}, ts=ts))
    (answer,) = tenant.query(ask(column("SUM"), by=(time_group("QUARTER"),), zone="Europe/Berlin"))
    assert answer.groups == (at(start),)


def test_an_hour_that_comes_twice_is_two_hours(tenant: Tenant) -> None:
    tenant.add(*(usage({"bytes": 1}, ts=f"2025-10-26T0{hour}:{minute}:00Z") for hour in (0, 1) for minute in (15, 45)))
    found = tenant.query(ask(column("COUNT"), by=(time_group("HOUR"),), zone="Europe/Berlin"))
    assert totals(found) == [("2025-10-26T01:00:00.000Z", 2), ("2025-10-26T00:00:00.000Z", 2)]


def test_the_measurements_themselves_come_latest_first(busy: Tenant) -> None:
    found = busy.raw(ask())
    assert [row.ts.wire()[:13] for row in found] == [
        "2025-06-02T05",
        "2025-06-02T00",
        "2025-06-01T05",
        "2025-06-01T01",
        "2025-06-01T00",
        "2025-05-31T23",
    ]
    assert [row.numbers for row in busy.raw(ask(meters=("api",)))] == [{"calls": D(200)}, {"calls": D(100)}]
    assert [row.numbers for row in busy.raw(ask(filters=(EU,), meters=("storage",)))] == [{"bytes": 4}, {"bytes": 1}]
    assert [row.account_id for row in busy.raw(ask(accounts=("grace",), start="2025-06-01"))] == ["grace"]
    assert busy.raw(ask(meters=("never",))) == []


def test_measurements_come_back_as_they_were_kept(tenant: Tenant) -> None:
    (kept,) = tenant.add(
        usage(
            {"a": D("-0.000000000000000001"), "b": D(10) ** 19, "c": "", "d": "é\0'\n"},
            ts="2025-06-15T12:00:00.000001Z",
        )
    )
    assert tenant.raw(ask()) == [kept]
    whole = type(kept)(
        **{name: getattr(kept, name) for name in kept.__slots__}
        | {"ets": at("2025-06-15T13:00:00.5Z"), "extra": '{"note": [1, 2.50, "ü"]}', "uid": "other"}
    )
    (kept_whole,) = tenant.add(whole)
    assert kept_whole in tenant.raw(ask())


def test_of_one_moment_the_later_in_the_journal_comes_first(tenant: Tenant) -> None:
    first, second = tenant.add(usage({"bytes": 1}, uid="b"), usage({"bytes": 2}, uid="a"))
    assert tenant.raw(ask()) == [second, first]


def test_queries_stay_within_their_organization(store: UsageStore) -> None:
    one, other = Tenant(store), Tenant(store)
    one.add(usage({"bytes": 1}))
    other.add(usage({"bytes": 2}))
    assert totals(one.query(ask(column("SUM")))) == [(1,)]
    assert [row.organization_id for row in other.raw(ask())] == [other.id]
    assert Tenant(store).raw(ask()) == []
    assert Tenant(store).query(ask(column("SUM"))) == []


@pytest.mark.parametrize("text", ["'", "\\", "a') OR 1 = 1 --", "{v0:String}", "%s", "\0"])
def test_what_users_write_is_only_ever_compared(tenant: Tenant, text: str) -> None:
    tenant.add(
        usage({"bytes": 1, "name": text}, account=text, meter=text), usage({"bytes": 2, "name": "x"}, meter=text)
    )
    asked = ask(
        column("SUM", meter=text),
        by=(ACCOUNT, dimension("name", text)),
        accounts=(text,),
        meters=(text,),
        filters=(UsageFilter(meter_id=text, field="name", values=(text,)),),
    )
    assert totals(tenant.query(asked)) == [(text, text, 1)]
    assert [row.account_id for row in tenant.raw(asked)] == [text]


def test_only_what_was_there_at_a_journal_position_counts(tenant: Tenant) -> None:
    first, second = tenant.add(usage({"bytes": 1, "region": "eu"}), usage({"bytes": 2, "region": "eu"}))
    for by in ((), (time_group("DAY"),), (dimension("region"),)):
        asked = ask(column("SUM"), by=by)
        for up_to, total in ((second.position, 3), (first.position, 1), (None, 3)):
            (answer,) = tenant.query(replace(asked, up_to=up_to))
            assert answer.values[0] is not None
            assert answer.values[0][0] == total
    assert tenant.query(replace(ask(column("SUM")), up_to=first.position - 1)) == []
