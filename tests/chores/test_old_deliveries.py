"""What was delivered to webhooks is kept for as long as the settings say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from records_file import new_records
from tallystick.chores.chore import Left
from tallystick.chores.webhooks import forget_old_deliveries
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.webhook import Delivery, DeliveryOutcome
from tallystick.ports import DocumentWhere, Organization, Page
from tallystick.ports.webhook import DELIVERY, delivery_document

ORGANIZATION = "00000000-0000-4000-8000-000000000001"
NOW = Instant.parse("2026-03-31T00:00:00Z")


def test_old_ones_go_and_the_others_stay(tmp_path: Path) -> None:
    store = new_records(tmp_path / "records.db")
    store.add_organization(Organization(id=ORGANIZATION, name="North", created=NOW))
    records = store.organization(ORGANIZATION)
    settings = SimpleNamespace(delivery_days=28)
    app: Any = SimpleNamespace(records=store, clock=SimpleNamespace(now=lambda: NOW), settings=settings)
    assert forget_old_deliveries(app, ORGANIZATION) is Left.NOTHING
    ids = {days: named_id(ORGANIZATION, f"delivery {days}") for days in (1, 27, 29, 400)}
    kept = [
        Delivery(
            id=id_,
            webhook_id=ORGANIZATION,
            run_id=id_,
            event_id=id_,
            event_name="billing.bill.updated",
            at=Instant.of(NOW - timedelta(days=days)),
            outcome=DeliveryOutcome.DELIVERED,
        )
        for days, id_ in ids.items()
    ]
    with records.transaction() as write:
        write.put_documents(DELIVERY, list(map(delivery_document, kept)))
    assert forget_old_deliveries(app, ORGANIZATION) is Left.LATER
    left = records.documents(DELIVERY, DocumentWhere(), Page()).rows
    assert [each.id for each in left] == [ids[1], ids[27]]
    store.close()
