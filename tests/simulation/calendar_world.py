"""Two years of customers on mixed plans, and what their periods must be, reckoned from the calendar alone."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from billing_world import World, at, bands, id_of
from tallystick.core.commitment import Commitment
from tallystick.core.credit_types import Balance
from tallystick.core.period import Frequency, Instant

FIRST, END = date(2023, 6, 15), date(2025, 6, 15)  # the leap day 2024-02-29 is among these days
WEEK_EPOCH = date(2022, 1, 4)
D = Decimal


def midnight(day: date, zone: str) -> Instant:
    """The first instant of a day, by the time zone database alone."""
    return Instant.of(datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC))


def days() -> Iterator[date]:
    """Every day of the simulation."""
    day = FIRST
    while day <= END:
        yield day
        day += timedelta(days=1)


def daily(first: date) -> Iterator[date]:
    """The days on which daily periods begin, without end."""
    while True:
        yield first
        first += timedelta(days=1)


def weekly(first: date, epoch: date) -> Iterator[date]:
    """The days on which weekly periods begin, from that which holds `first`."""
    day = first - timedelta(days=(first - epoch).days % 7)
    while True:
        yield day
        day += timedelta(days=7)


def monthly(first: date, of_month: int) -> Iterator[date]:
    """The days on which months begin that are counted from a day of the month, or the last one if it has none such."""
    months = first.year * 12 + first.month - 2  # the month before that of `first`
    starts = (_clamped(months + number, of_month) for number in range(1000))
    yield from _from_holding(starts, first)


def yearly(first: date, month: int, of_month: int) -> Iterator[date]:
    """The same for years."""
    starts = (_clamped((first.year - 1 + number) * 12 + month - 1, of_month) for number in range(100))
    yield from _from_holding(starts, first)


def _clamped(months: int, day: int) -> date:
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day, calendar.monthrange(year, month + 1)[1]))


def _from_holding(starts: Iterator[date], first: date) -> Iterator[date]:
    before = next(starts)
    for each in starts:
        if each > first:
            yield before
        before = each


@dataclass(frozen=True)
class Series:
    """One account's bills of one frequency: where its periods begin, and the daily fees whose lines must tile time."""

    account: str
    frequency: Frequency
    starts: tuple[date, ...]
    first: date = FIRST  # of the account's plan


def series() -> list[Series]:
    """What is billed, by account: the periods from the one that holds the first day on."""
    month31, month1 = tuple(_until(monthly(FIRST, 31))), tuple(_until(monthly(FIRST, 1)))
    leap = tuple(_until(yearly(FIRST, 2, 29)))
    return [
        Series("day", Frequency.DAILY, tuple(_until(daily(FIRST)))),
        Series("week", Frequency.WEEKLY, tuple(_until(weekly(FIRST, WEEK_EPOCH)))),
        Series("month", Frequency.MONTHLY, month31),
        Series("year", Frequency.ANNUALLY, leap),
        Series("wallet", Frequency.MONTHLY, month1),
        Series("mixed", Frequency.WEEKLY, tuple(_until(weekly(FIRST, date(2022, 1, 31))))),
        Series("mixed", Frequency.MONTHLY, month31),
        Series("mixed", Frequency.ANNUALLY, tuple(_until(yearly(FIRST, 1, 31)))),
    ]


def _until(starts: Iterator[date], end: date = END) -> Iterator[date]:
    """Up to and with the first one after the end."""
    for each in starts:
        yield each
        if each > end:
            return


# What the plans are called, and how each is billed.
PLANS = (
    ("daily", Frequency.DAILY, "1.00", False),
    ("weekly", Frequency.WEEKLY, "7.00", True),
    ("monthly", Frequency.MONTHLY, "31.00", False),
    ("advance", Frequency.MONTHLY, "30.00", True),
    ("annual", Frequency.ANNUALLY, "365.00", True),
)
HAVE = (
    ("day", ("daily",), None),
    ("week", ("weekly",), None),
    ("month", ("monthly",), date(2022, 1, 31)),
    ("year", ("annual",), date(2020, 2, 29)),
    ("wallet", ("monthly",), date(2022, 1, 1)),
    ("mixed", ("weekly", "advance", "annual"), date(2022, 1, 31)),
)


def build(zone: str) -> World:
    """The catalogue, the accounts, a commitment for each of two years, and a wallet that carries some over."""
    world = World()
    world.config(timezone=zone, week_epoch=WEEK_EPOCH, scheduled_bill_interval=D(24))
    calls = world.aggregation("calls", world.meter("requests", ("calls",)))
    for name, frequency, fee, in_advance in PLANS:
        template = world.template(
            name,
            world.product(name),
            bill_frequency=frequency,
            standing_charge=D(fee),
            standing_charge_bill_in_advance=in_advance,
        )
        plan = world.plan(name, template)
        if name in {"daily", "monthly", "weekly"}:
            world.pricing(name, bands((0, "0.10")), plan_id=plan.id, aggregation_id=calls.id)
    for account, plans, epoch in HAVE:
        world.account(account, bill_epoch=epoch)
        for name in plans:
            plan = world.entities["plan", id_of("plan", name)]
            world.account_plan(plan, account, midnight(FIRST, zone).wire())
    for year in (2023, 2024):
        world.add(
            Commitment(
                account_id=id_of("account", "month"),
                amount=D(240),
                currency="USD",
                start_date=date(year, 7, 15),
                end_date=date(year + 1, 7, 15),
                billing_plan_id=id_of("plan", "monthly"),
                overage_surcharge_percent=D(10),
            ),
            f"commitment {year}",
        )
    world.add(
        Balance(
            account_id=id_of("account", "wallet"),
            code="wallet",
            name="Wallet",
            currency="USD",
            start_date=at("2023-06-01"),
            end_date=at("2024-08-10"),
            rollover_end_date=at("2025-02-20"),
            rollover_amount=D(150),
        ),
        "wallet",
    )
    return world
