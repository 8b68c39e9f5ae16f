"""A price change, from a file to the bills of 10,000 customers: planned, simulated, applied for the first of a month,
and gone back on.

Each customer pays 5.00 a month and 0.10 a call; customer k made k mod 100 calls in November. All of them together made
100 × (0 + 1 + … + 99) = 495,000 calls, so November comes to 50,000.00 + 49,500.00 = 99,500.00. At 0.12 a call it would
be 50,000.00 + 59,400.00 = 109,400.00: 9,900.00 more, for the 9,900 who made a call; the others pay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from billing_desk import ADA, Desk, calls_world

from billing_world import at, id_of
from tallystick.cli.catalog_files import load, save
from tallystick.control.catalog_history import list_versions
from tallystick.control.catalog_stock import take_stock
from tallystick.control.desk import Desk as ControlDesk
from tallystick.core.catalog_parts import put_together
from tallystick.core.catalog_plan import CatalogPlan, CatalogPlanRequest, CatalogPlanStatus, CatalogVersion
from tallystick.core.catalog_written import shown
from tallystick.core.simulation import Simulation
from tallystick.pipeline.simulation_job import run_chunk
from tallystick.ports import Page
from tallystick.web.catalog_planning import apply_catalog, plan_catalog, simulation_of

CUSTOMERS = 10_000
DECEMBER, FEBRUARY = at("2023-12-01"), at("2024-02-01")
FEW = ["customer-0", "customer-42"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    world = calls_world("customer-0")
    plan = world.entities["plan", id_of("plan", "plan")]
    for number in range(1, CUSTOMERS):
        world.account(f"customer-{number}")
        world.account_plan(plan, f"customer-{number}")
    made = Desk(tmp_path_factory.mktemp("pricing"), world)
    for number in range(CUSTOMERS):
        made.use(f"customer-{number}", "2023-11-15", calls=number % 100)
    yield made
    made.close()


def planned(desk: Desk, now: str, **request: Any) -> CatalogPlan:
    at_desk = ControlDesk(records=desk.records, actor=ADA, now=at(now))
    return plan_catalog(at_desk, desk.usage, CatalogPlanRequest(**request), desk.usage_store.mark)


def applied(desk: Desk, now: str, plan: CatalogPlan, reason: str) -> CatalogVersion:
    return apply_catalog(ControlDesk(records=desk.records, actor=ADA, now=at(now)), plan.id, reason=reason)


def simulated(desk: Desk, plan: CatalogPlan) -> Simulation:
    """As the worker does it, chunk by chunk."""
    made = simulation_of(desk.records, plan)
    assert made is not None
    while made.status.active:
        made = run_chunk(desk.records, desk.usage, made.id, now=plan.dt_created)
    return made


def bills(desk: Desk, last_day: str) -> list[tuple[str, str]]:
    """What a run makes of the two customers for a month, the day after it."""
    day = date.fromisoformat(last_day)
    desk.run(
        f"{day + timedelta(days=1)}T06:00:00Z",
        last_date_in_billing_period=day,
        account_ids=tuple(id_of("account", code) for code in FEW),
    )
    found = [each for each in desk.bills() if each.end_date_time_utc == at(str(day + timedelta(days=1)))]
    return sorted((each.account_code, str(each.bill_total)) for each in found)


def test_a_price_change_from_a_file_to_the_bills_and_back(desk: Desk, tmp_path: Path) -> None:
    before = take_stock(desk.records)
    save(tmp_path, shown(put_together(before.entries)))
    assert planned(desk, "2023-11-20", catalog=load(tmp_path).catalog).status is CatalogPlanStatus.NO_CHANGE

    plans = tmp_path / "plans.yaml"
    plans.write_text(plans.read_text().replace("unitPrice: 0.1}", "unitPrice: 0.12}"))
    plan = planned(
        desk,
        "2023-11-20",
        catalog=load(tmp_path).catalog,
        effective_from=DECEMBER,
        last_date_in_billing_period=date(2023, 11, 30),
    )
    (effect,) = simulated(desk, plan).effects
    assert (effect.bills, effect.rises, effect.falls, effect.same) == (10_000, 9_900, 0, 100)
    assert (str(effect.old_total), str(effect.new_total), str(effect.difference)) == (
        "99500.00",
        "109400.00",
        "9900.00",
    )
    assert take_stock(desk.records).digest == before.digest, "nothing has changed yet"

    version = applied(desk, "2023-11-21", plan, "costs of the new region")
    assert (version.number, version.effective_from, version.effects) == (2, DECEMBER, (effect,))
    assert bills(desk, "2023-11-30") == [("customer-0", "5.00"), ("customer-42", "9.20")]  # 42 at 0.10
    desk.use("customer-42", "2023-12-15", calls=100)
    assert bills(desk, "2023-12-31") == [("customer-0", "5.00"), ("customer-42", "17.00")]  # 100 at 0.12

    back = planned(desk, "2024-01-10", to_version=1, effective_from=FEBRUARY, simulate=False)
    applied(desk, "2024-01-10", back, "too many complaints")
    desk.use("customer-42", "2024-01-15", calls=100)
    desk.use("customer-42", "2024-02-15", calls=100)
    assert bills(desk, "2024-01-31") == [("customer-0", "5.00"), ("customer-42", "17.00")]
    assert bills(desk, "2024-02-29") == [("customer-0", "5.00"), ("customer-42", "15.00")]  # 100 at 0.10 again
    history = [(each.number, each.reason) for each in list_versions(desk.records, Page()).rows]
    assert history == [(3, "too many complaints"), (2, "costs of the new region"), (1, None)]
