"""Reconciliations: what is held against which source. `pipeline.reconcile` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

from tallystick.control.desk import Desk, Draft, Noun, rule_broken
from tallystick.core.ids import named_id
from tallystick.core.meter import Meter
from tallystick.core.period import local_day
from tallystick.core.reconciliation import ReconciledFunction, Reconciliation, ReconciliationRequest
from tallystick.ports import Where
from tallystick.ports.founded import config_of


def _check(draft: Draft[Reconciliation]) -> Reconciliation:
    for place, each in enumerate(draft.value.measures):
        meter = draft.read.by_code(Meter, each.meter)
        if meter is None:
            raise rule_broken(f"measures[{place}].meter", f"there is no meter with the code {each.meter[:40]!r}")
        field = next((known for known in meter.value.data_fields if known.code == each.field), None)
        if field is None:
            codes = ", ".join(known.code for known in meter.value.data_fields)
            what = f"the meter {each.meter} has no field {each.field[:40]!r}; it has {codes}"
            raise rule_broken(f"measures[{place}].field", what)
        if each.function is ReconciledFunction.SUM and not field.category.numeric:
            raise rule_broken(
                f"measures[{place}].field", f"{each.field} holds text; compare it with the function COUNT"
            )
    return draft.value


RECONCILIATIONS = Noun(of=Reconciliation, check=_check)


def due_runs(desk: Desk) -> Iterator[tuple[str, ReconciliationRequest]]:
    """What the schedules ask for by now, the last whole days of each; with the id that the run of the day has, so that
    it is made once."""
    config = config_of(desk.records).value
    for each in desk.records.every(Reconciliation, Where(equal={"scheduled": ("true",)})):
        schedule = each.value.schedule
        assert schedule is not None, "it was found as one that has a schedule"
        zone = each.value.timezone or config.timezone
        hour = desk.now.astimezone(ZoneInfo(zone)).hour
        today = local_day(desk.now, zone)
        if hour >= schedule.hour:
            first = today - timedelta(days=schedule.days)
            request = ReconciliationRequest(reconciliation_id=each.id, start_date=first, end_date=today)
            yield named_id(each.id, f"daily/{today}"), request
