"""Bills of which proofs are made in tests.

`PYTHONPATH=tests python tests/pipeline/proof_worlds.py DIRECTORY` writes those of the engine of now as golden files:
once for each released engine version, and never again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
from billing_desk import NOVEMBER, Desk, calls_world
from ledger_desk import month, top_up

from billing_world import ACCOUNT, World, at, bands, id_of
from credit_world import balance, metered
from tallystick.control.audit_proof import checkpoint
from tallystick.core.account import ChildBillingMode
from tallystick.core.aggregation import Method, TimeUnit
from tallystick.core.bill import BillRecord, approve, lock
from tallystick.pipeline.proof import proof_of
from tallystick.ports.audit import Signer
from tallystick.stores.audit_key import KeyFileSigner

Opener = Callable[[World], Desk]
NOW = at("2023-12-02")


def proved(desk: Desk, record: BillRecord, signer: Signer) -> bytes:
    """The proof of a bill as a file."""
    made = checkpoint(desk.records, signer, NOW)
    return proof_of(desk.records, desk.usage, record, checkpoint=made, signer=signer, now=NOW)


def tiers(open_desk: Opener) -> Desk:
    """November of acme: a fee of 5.00 and 60 calls at 0.10 are 11.00; what came later is not on it."""
    desk = open_desk(calls_world())
    for number, calls in enumerate((10, 20, 30), start=1):
        desk.use("acme", f"2023-11-{number:02}", calls=calls)
    desk.run(**NOVEMBER)
    desk.use("acme", "2023-11-05", calls=1000)
    return desk


def many_things(open_desk: Opener) -> Desk:
    """A pool with a child, segments, and a calculation of a gauge and a maximum.

    18 calls at 0.10 are 0.50 + 0.70 + 0.60: large 5 of the group and 7 of east, small 6 of east. The gauge holds 2 for
    30 days and the maximum is 7: 67 at 1.00. With the fee of 5.00 it is 73.80.
    """
    world = World()
    meter = world.meter("requests", ("calls", "held"), ("model",))
    world.aggregation("calls", meter, segmented_fields=("model",), segments=({"model": "large"}, {"model": "*"}))
    world.aggregation("held", meter, target_field="held", aggregation=Method.TIME_WEIGHTED_SUM, time_unit=TimeUnit.DAY)
    world.aggregation("peak", meter, aggregation=Method.MAX)
    both = world.compound("both", "aggregation.peak + aggregation.held")
    world.template(standing_charge=Decimal(5))
    world.plan()
    for name in ("large", "other"):
        segment = {"model": "large" if name == "large" else "*"}
        calls = id_of("aggregation", "calls")
        world.pricing(name, bands((0, "0.10")), aggregation_id=calls, segment=segment, description=name)
    world.pricing("held", bands((0, "1")), compound_aggregation_id=both.id, description="Held")
    world.account("group")
    world.account("east", parent_account_id=id_of("account", "group"))
    world.account_plan(account="group", child_billing_mode=ChildBillingMode.PARENT_BREAKDOWN)
    desk = open_desk(world)
    desk.use("group", "2023-09-15", held=2)
    for day, (account, model) in enumerate((("group", "large"), ("east", "small"), ("east", "large")), start=5):
        desk.use(account, f"2023-11-{day:02}", texts={"model": model}, calls=day)
    desk.run(**NOVEMBER)
    return desk


def late(open_desk: Opener) -> Desk:
    """October was locked at 6.00 for 10 calls; 4 came late, and 5 are November's: 5.00 + 0.50 + 0.40 = 5.90."""
    desk = open_desk(calls_world())
    desk.use("acme", "2023-10-05", calls=10)
    desk.run(now="2023-11-01T06:00:00Z", last_date_in_billing_period=date(2023, 10, 31))
    (record,) = desk.bill_records()
    closed = lock(approve(record.bill, by="a", at=at("2023-11-02")), by="a", at=at("2023-11-02"))
    desk.put(msgspec.structs.replace(record, bill=closed))
    desk.use("acme", "2023-10-06", calls=4)
    desk.use("acme", "2023-11-06", calls=5)
    desk.run(**NOVEMBER)
    return desk


def wallet(open_desk: Opener) -> Desk:
    """A wallet of 500 pays January and February, 200.00 each, and 100.00 of March: 100.00 are left to pay."""
    world = metered(1)
    balance(world)
    desk = open_desk(world)
    top_up(desk, 500)
    for number in range(1, 4):
        desk.use(ACCOUNT, f"2023-{number:02}-10", calls=200)
        month(desk, number)
    return desk


# Each with what its last bill comes to, reckoned by hand.
WORLDS = {
    "tiers": (tiers, "11.00"),
    "many-things": (many_things, "73.80"),
    "late": (late, "5.90"),
    "wallet": (wallet, "100.00"),
}


def _write(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name, (build, _) in WORLDS.items():
        with tempfile.TemporaryDirectory() as place:
            desk = build(lambda world, place=place: Desk(Path(place), world))
            signer = KeyFileSigner(Path(place))
            (directory / f"{name}.jsonl").write_bytes(proved(desk, desk.bill_records()[-1], signer))
            desk.close()


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
