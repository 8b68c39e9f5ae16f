"""What formulas may refer to besides fields and aggregations: custom fields, the times of a measurement, its account.

A custom field is referred to as `account.region`: the value that the account gives it, else the organisation's default
for accounts (source: reference 1.4, 2.1; docs/decisions/0173-custom-fields-in-formulas.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TypeVar

from tallystick.core.entity import CustomFields, Entity, Value
from tallystick.core.expression import Scalar, Type, parse, references
from tallystick.core.expression.dates import millis
from tallystick.core.expression.texts import as_text
from tallystick.core.lookup import WITH_LOOKUPS
from tallystick.core.measurement import Measurement, read_time
from tallystick.core.organization import OrganizationCustomFields
from tallystick.core.period import Instant

V = TypeVar("V", bound=Value)

TS, ETS, RECEIVED, ACCOUNT = "timestamp.ts", "timestamp.ets", "timestamp.received", "account"
OF_MEASUREMENTS: Mapping[str, Type] = {
    TS: Type.NUMBER,
    ETS: Type.NUMBER,
    RECEIVED: Type.NUMBER,
    ACCOUNT: Type.TEXT,
}
# The prefix of a custom field in formulas, and where the organisation's defaults for it are.
PREFIXES = {
    "organization": "organization",
    "account": "account",
    "accountPlan": "account_plan",
    "plan": "plan",
    "planTemplate": "plan_template",
    "product": "product",
    "meter": "meter",
}
# A measurement is of a meter and of an account, whatever plans that has.
OF_DERIVED_FIELDS = ("organization", "account", "product", "meter")


def custom_types(defaults: OrganizationCustomFields, prefixes: Collection[str]) -> dict[str, Type]:
    """The custom fields that formulas may refer to, by their whole names: those that have a default."""
    found = {}
    for prefix in prefixes:
        for name, value in _defaults(defaults, prefix).items():
            found[f"{prefix}.{name}"] = Type.TEXT if isinstance(value, str) else Type.NUMBER
    return found


def custom_names(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that refer to custom fields, sorted."""
    return tuple(sorted(name for name in names if "." in name and name.partition(".")[0] in PREFIXES))


@lru_cache(maxsize=1024)
def custom_in(calculation: str) -> tuple[str, ...]:
    """The custom fields that a calculation refers to, by their whole names, sorted."""
    return custom_names(references(parse(calculation, WITH_LOOKUPS)))


def custom_values(
    names: Iterable[str], defaults: OrganizationCustomFields, own: Mapping[str, CustomFields | None]
) -> dict[str, Scalar]:
    """The values of custom fields by their whole names. `own` has what entities give theirs, by prefix."""
    values: dict[str, Scalar] = {}
    for whole in names:
        prefix, _, name = whole.partition(".")
        given = {**_defaults(defaults, prefix), **(own.get(prefix) or {})}.get(name)
        values[whole] = given if given is None or isinstance(given, str) else Decimal(given)
    return values


def written(value: Scalar) -> str:
    """A value as a sentence shows it: texts in quotes."""
    return repr(value) if isinstance(value, str) else "null" if value is None else as_text(value)


def measurement_values(measurement: Measurement, ts: Instant, received: Instant) -> dict[str, Scalar]:
    """What a formula may refer to of a measurement itself."""
    ets = None if measurement.ets is None else millis(read_time(measurement.ets))
    return {TS: millis(ts), ETS: ets, RECEIVED: millis(received), ACCOUNT: measurement.account}


def as_of(versions: Sequence[Entity[V]], moment: Instant) -> V | None:
    """The value of an entity at a moment, of its versions in order; the first before that, None without any."""
    held = [each for each in versions if each.modified <= moment] or versions[:1]
    return held[-1].value if held else None


def _defaults(defaults: OrganizationCustomFields, prefix: str) -> CustomFields:
    found: CustomFields | None = getattr(defaults, PREFIXES[prefix])
    return found or {}
