"""The catalogue in Python: typed entries, written to the files that `tallystick catalog` reads.

    from tallystick.cli.catalog_form import Catalog, Product, number, write

    write("catalog", Catalog(products=(Product(code="api", name="API"),)))

Amounts are exact: `number("0.25")`, never 0.25. What an editor or a type checker does not find, `write` refuses.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from tallystick.cli.catalog_files import save
from tallystick.core.aggregation import Method, UnitRounding
from tallystick.core.catalog import PricingType, Product
from tallystick.core.catalog_entries import AggregationEntry as Aggregation
from tallystick.core.catalog_entries import AnomalyPolicyEntry as AnomalyPolicy
from tallystick.core.catalog_entries import BandEntry as Band
from tallystick.core.catalog_entries import CatalogEntries as Catalog
from tallystick.core.catalog_entries import CompoundAggregationEntry as CompoundAggregation
from tallystick.core.catalog_entries import CounterEntry as Counter
from tallystick.core.catalog_entries import CounterPricingEntry as CounterPricing
from tallystick.core.catalog_entries import LatePolicyEntry as LatePolicy
from tallystick.core.catalog_entries import MeterEntry as Meter
from tallystick.core.catalog_entries import PlanEntry as Plan
from tallystick.core.catalog_entries import PlanGroupEntry as PlanGroup
from tallystick.core.catalog_entries import PlanTemplateEntry as PlanTemplate
from tallystick.core.catalog_entries import PricingEntry as Pricing
from tallystick.core.catalog_reading import read_entries
from tallystick.core.catalog_written import shown
from tallystick.core.lookup_types import LookupTable
from tallystick.core.meter import Category, DataField, DerivedField
from tallystick.core.organization import Currency, CurrencyConversion
from tallystick.core.organization import OrganizationConfig as Settings
from tallystick.core.organization import OrganizationCustomFields as CustomFieldDefaults
from tallystick.core.period import Frequency, Instant
from tallystick.core.price_forms import Package, Rate
from tallystick.core.wire import number

__all__ = [
    "Aggregation",
    "AnomalyPolicy",
    "Band",
    "Catalog",
    "Category",
    "CompoundAggregation",
    "Counter",
    "CounterPricing",
    "Currency",
    "CurrencyConversion",
    "CustomFieldDefaults",
    "DataField",
    "Decimal",
    "DerivedField",
    "Frequency",
    "LatePolicy",
    "LookupTable",
    "Meter",
    "Method",
    "Package",
    "Plan",
    "PlanGroup",
    "PlanTemplate",
    "Pricing",
    "PricingType",
    "Product",
    "Rate",
    "Settings",
    "UnitRounding",
    "number",
    "start",
    "write",
]


def start(text: str) -> Instant:
    """When a price starts: a day such as 2025-07-01, its midnight in UTC, or a day and a time."""
    return Instant.parse(text)


def write(directory: str | Path, catalog: Catalog) -> list[Path]:
    """Write the sections of a catalogue that are given; answers the files that changed. ValueError for all that is
    wrong with it, TypeError for a float: it is not the number that was written."""
    plain = shown(catalog)
    _require_exact(plain, "")
    _, problems = read_entries(plain)
    if problems:
        raise ValueError("\n".join(f"{place}: {message}" for place, message in problems))
    return save(Path(directory), plain)


def _require_exact(value: Any, place: str) -> None:
    if isinstance(value, float):
        raise TypeError(f"{place}: {value} is a float; write number({str(value)!r})")
    if isinstance(value, dict):
        for name, each in value.items():
            _require_exact(each, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            _require_exact(each, f"{place}[{at}]")
