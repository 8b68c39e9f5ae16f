"""Templates: the Jinja environment, and how amounts, numbers and moments are written on pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from tallystick.console.static import static_path
from tallystick.core import wording
from tallystick.core.period import Instant
from tallystick.core.quantity import plain

UTC = ZoneInfo("UTC")


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page as text."""
    return ENVIRONMENT.get_template(template).render(values)


def money(amount: Decimal | None, currency: str = "") -> Markup | str:
    """An exact amount with its currency; `data-value` holds it as the API says it."""
    if amount is None:
        return "–"
    return _exact(amount, f"{wording.money(amount)} {currency}".strip(), "money")


def number(value: Decimal | int | None) -> Markup | str:
    """An exact number with thousands separated."""
    return "–" if value is None else _exact(Decimal(value), wording.number(Decimal(value)), "number")


def _exact(value: Decimal, shown: str, how: str) -> Markup:
    sign = " negative" if value < 0 else ""
    return Markup('<data class="{}{}" value="{}" data-value="{}">{}</data>').format(
        how, sign, plain(value), plain(value), shown
    )


@pass_context
def when(context: Context, at: datetime | str | None) -> Markup | str:
    """A moment in the organisation's time zone, to the minute; hovering tells it in UTC."""
    if at is None:
        return "–"
    moment = Instant.parse(at) if isinstance(at, str) else Instant.of(at)
    zone = _zone(context)
    shown = moment.astimezone(zone).strftime("%-d %b %Y, %H:%M")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        moment.wire(), moment.strftime("%Y-%m-%d %H:%M:%S"), shown
    )


@pass_context
def day(context: Context, at: date | datetime | str | None) -> Markup | str:
    """A calendar day; of a moment, the day it falls on in the organisation's time zone."""
    if at is None:
        return "–"
    if isinstance(at, str):
        at = date.fromisoformat(at) if len(at) == 10 else Instant.parse(at)
    on = at.astimezone(_zone(context)).date() if isinstance(at, datetime) else at
    return Markup('<time datetime="{}">{}</time>').format(on.isoformat(), on.strftime("%-d %b %Y"))


@pass_context
def iso(context: Context, at: date | datetime | None) -> str:
    """A day as a date field has it; of a moment, the day it falls on in the organisation's time zone."""
    if at is None:
        return ""
    return (at.astimezone(_zone(context)).date() if isinstance(at, datetime) else at).isoformat()


@pass_context
def last_day(context: Context, end: datetime | str | None) -> Markup | str:
    """The last day of a period that ends, exclusively, at a moment."""
    if end is None:
        return "–"
    moment = Instant.parse(end) if isinstance(end, str) else end
    return day(context, moment - timedelta(microseconds=1))


@pass_context
def ago(context: Context, at: datetime | str | None) -> Markup | str:
    """How long ago a moment was, in the largest unit; hovering tells it exactly."""
    if at is None:
        return "never"
    moment = Instant.parse(at) if isinstance(at, str) else Instant.of(at)
    seconds = int((context["now"] - moment).total_seconds())
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            shown = f"{count} {unit}{'s' if count > 1 else ''} ago"
            break
    else:
        shown = "just now"
    exact = moment.astimezone(_zone(context)).strftime("%-d %b %Y, %H:%M:%S")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.wire(), exact, shown)


def before(end: date) -> date:
    """The last day of what ends with a day that does not belong to it any more."""
    return end - timedelta(days=1)


def words(code: object) -> str:
    """A code word of the wire as people read it: `READ_ONLY` is `Read only`."""
    return str(code).replace("_", " ").strip().capitalize()


def query(values: Mapping[str, str], **changed: object) -> str:
    """The present query with some of it changed, for links of lists: `?status=PENDING&nextToken=…`."""
    merged = {**values, **{name: value for name, value in changed.items() if value is not None}}
    kept = {name: value for name, value in merged.items() if value not in {"", None}}
    return f"?{urlencode(kept)}" if kept else "?"


def _zone(context: Context) -> ZoneInfo:
    zone = context.get("zone")
    return zone if isinstance(zone, ZoneInfo) else UTC


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("tallystick.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for each in (money, number, when, day, iso, last_day, before, ago, words):
        made.filters[each.__name__] = each
    made.globals["static"] = static_path
    made.globals["query_of"] = query
    return made


ENVIRONMENT = _environment()
