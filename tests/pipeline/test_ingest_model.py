"""Ingest against a model: any sequence of requests, large and small, of replays and restarts leaves what a dictionary
would hold."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from ingest_world import NORTH, NOW, SOUTH, World, measurement, start

from effort import drawing
from tallystick.control.desk import Desk
from tallystick.control.failed_measurements import Resent
from tallystick.control.failed_measurements import discard as discard_failed
from tallystick.control.failed_measurements import replay as replay_failed
from tallystick.core import wire
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import Verdict
from tallystick.pipeline.ingest.apart import Apart
from tallystick.pipeline.ingest.intake import LARGE
from tallystick.pipeline.ingest.sorting import Batch
from tallystick.pipeline.mediate import project
from tallystick.ports import Actor
from tallystick.stores.memory import MemoryUsage

# ------------------------------------------------------------------------------------------------------------ model

ANN = Actor(id="ann", kind="SERVICE_USER")

# The code of a rejection → what makes a measurement deserve it.
FAULTS: dict[str, dict[str, Any]] = {
    "undefined_meter": {"meter": "none"},
    "missing_field": {"measure": {}},
    "invalid_number": {"measure": {"tokens": "1"}},
    "invalid_timestamp": {"ts": "2025-02-30"},
    "invalid_account": {"account": " acme"},
}


@dataclass(frozen=True)
class Sent:
    """A measurement as a client means it: its content, one of the ways to spell that, and what is wrong with it."""

    uid: str
    tokens: int
    hour: int
    spelling: int
    fault: str | None

    @property
    def content(self) -> tuple[int, int]:
        return self.tokens, self.hour

    def json(self) -> dict[str, Any]:
        ts = (f"2025-06-01T0{self.hour}:00Z", f"2025-06-01T0{self.hour + 2}:00+02:00", f"20250601T0{self.hour}")
        tokens = (self.tokens, Decimal(f"{self.tokens}.0"), Decimal(f"{self.tokens}e0"))
        whole = measurement(self.uid, ts=ts[self.spelling], measure={"tokens": tokens[self.spelling]})
        return {**whole, **FAULTS.get(self.fault or "", {})}


@dataclass
class Model:
    """What one organisation must hold: contents by uid, and what waits in the queue, by its id there."""

    counted: dict[str, tuple[int, int]] = field(default_factory=dict)
    waiting: dict[str, Sent] = field(default_factory=dict)

    def send(self, sent: Sent) -> str:
        """The verdict, or the code where it is rejected."""
        if sent.fault is not None:
            return sent.fault
        before = self.counted.get(sent.uid)
        if before is None:
            self.counted[sent.uid] = sent.content
            return "accepted"
        return "duplicate" if before == sent.content else "conflict"


# -------------------------------------------------------------------------------------------- the machine beside it

measurements = st.builds(
    Sent,
    uid=st.sampled_from(["a", "b", "c", "d", "A", "a "]),
    tokens=st.integers(1, 2),
    hour=st.integers(1, 2),
    spelling=st.integers(0, 2),
    fault=st.one_of(st.none(), st.none(), st.sampled_from(sorted(FAULTS))),
)
batches = st.lists(measurements, min_size=1, max_size=5)
organizations = st.sampled_from([NORTH, SOUTH])
sizes = st.sampled_from([0, LARGE])  # bytes of a request at least: large ones are sorted out in a process of their own


class IngestMachine(RuleBasedStateMachine):
    """Two organisations on one journal; every answer and everything kept is compared with the model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.world = World(self.directory, apart=[TestIngest.apart])
        self.models = {NORTH: Model(), SOUTH: Model()}
        self.usage = MemoryUsage()

    def teardown(self) -> None:
        self.look()
        self.world.close()
        self.world.records.close()
        shutil.rmtree(self.directory)

    @rule(organization=organizations, batch=batches, least=sizes)
    def send(self, organization: str, batch: list[Sent], least: int) -> None:
        sent = [each.json() for each in batch]
        verdicts = asyncio.run(self.world.post(*sent, organization=organization, least=least))
        self._compare(organization, batch, verdicts)

    @rule(organization=organizations, together=st.lists(st.tuples(batches, sizes), min_size=2, max_size=4))
    def send_at_once(self, organization: str, together: list[tuple[list[Sent], int]]) -> None:
        """Requests that meet in one commit: of each new uid exactly one is accepted, and the rest answer to that."""

        async def all_of_them() -> list[list[dict[str, Any]]]:
            sending = [
                self.world.post(*[one.json() for one in each], organization=organization, least=least)
                for each, least in together
            ]
            return await asyncio.gather(*sending)

        answers = asyncio.run(all_of_them())
        model = self.models[organization]
        told = [
            (one, verdict)
            for (sent, _), answer in zip(together, answers, strict=True)
            for one, verdict in zip(sent, answer, strict=True)
        ]
        for sent, verdict in told:
            if verdict["verdict"] == "accepted":
                assert model.send(sent) == "accepted", "a uid was accepted twice"
        others = [(sent, verdict) for sent, verdict in told if verdict["verdict"] != "accepted"]
        self._compare(organization, [sent for sent, _ in others], [verdict for _, verdict in others])

    @precondition(lambda self: any(model.waiting for model in self.models.values()))
    @rule(data=st.data(), correction=st.one_of(st.none(), measurements))
    def replay(self, data: st.DataObject, correction: Sent | None) -> None:
        """Send what failed again under its own uid, as it was or corrected: it counts once, or stays and says why."""
        organization = data.draw(st.sampled_from([each for each, model in self.models.items() if model.waiting]))
        model = self.models[organization]
        failed_id, failed = data.draw(st.sampled_from(sorted(model.waiting.items(), key=lambda each: each[1].uid)))
        sent = failed if correction is None else replace(correction, uid=failed.uid)
        body = None if correction is None else wire.encode(sent.json())
        expected = model.send(sent)
        try:
            replay_failed(self._desk(organization), failed_id, body, lambda sent: self._take(organization, sent))
            found = "counted"
            del model.waiting[failed_id]
        except Refusal as refusal:
            found = refusal.code.name
        assert found == {"accepted": "counted", "duplicate": "counted", "conflict": "rule_broken"}.get(
            expected, expected
        )

    @precondition(lambda self: any(model.waiting for model in self.models.values()))
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        organization = data.draw(st.sampled_from([each for each, model in self.models.items() if model.waiting]))
        waiting = self.models[organization].waiting
        failed_id, _ = data.draw(st.sampled_from(sorted(waiting.items(), key=lambda each: each[1].uid)))
        discard_failed(self._desk(organization), failed_id, "not wanted")
        del waiting[failed_id]

    @rule()
    def restart(self) -> None:
        self.world.reopen()

    @rule()
    def look(self) -> None:
        """What is counted, what is journaled and what waits is what the model says, and nothing else."""
        project(self.world.journal, self.usage, self.world.records)
        for organization, model in self.models.items():
            rows = list(self.usage.rows(organization))
            assert {row.uid: (row.numbers["tokens"], row.ts.hour) for row in rows} == model.counted
            assert len(rows) == len(model.counted)
            waiting = self.world.documents("failedmeasurement", organization, status="OPEN")
            assert {each["id"]: each["uid"] for each in waiting} == {of: sent.uid for of, sent in model.waiting.items()}
        journaled = self.world.journaled()
        assert len(journaled) == len(set(journaled)) == sum(len(model.counted) for model in self.models.values())

    def _compare(self, organization: str, sent: list[Sent], verdicts: list[dict[str, Any]]) -> None:
        model = self.models[organization]
        for one, verdict in zip(sent, verdicts, strict=True):
            found = verdict["code"] if verdict["verdict"] == "rejected" else verdict["verdict"]
            assert found == model.send(one), (one, verdict)
            assert verdict["uid"] == one.uid
            if "failedMeasurementId" in verdict:
                model.waiting[verdict["failedMeasurementId"]] = one

    def _desk(self, organization: str) -> Desk:
        return Desk(records=self.world.organization(organization), actor=ANN, now=NOW)

    def _take(self, organization: str, sent: Sequence[Resent]) -> Sequence[Verdict]:
        return self.world.intake.take(organization, [each.member for each in sent], record=False).measurements


class CountingApart(Apart):
    """Counts the requests that it sorts out."""

    answers = 0

    async def sort_out(self, *given: Any) -> Batch | None:
        found = await super().sort_out(*given)
        self.answers += found is not None
        return found


class TestIngest(IngestMachine.TestCase):  # type: ignore[misc]  # Hypothesis makes it when it is asked for
    """What the machine says, with the process that large requests are sorted out in."""

    # A failing life is short enough to read as it is; to shrink it would take minutes, each step of it being a disk's.
    settings = settings(**drawing(10, shrink=False), stateful_step_count=15)
    apart: CountingApart

    @classmethod
    def setUpClass(cls) -> None:
        cls.apart = CountingApart()
        start(cls.apart)
        cls.apart.answers = 0

    @classmethod
    def tearDownClass(cls) -> None:
        cls.apart.close()
        assert cls.apart.answers > 10, "large requests were sorted out in the process of the test"
