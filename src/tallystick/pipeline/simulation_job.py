"""Simulations as they are asked for, kept and shown, and run chunk by chunk; what they find is kept for a while.

A few bills are simulated at once, with their lines; of more, a job keeps the totals, the greatest changes first. What a
chunk found is kept together with the mark that it is done, so that a stop in between costs nothing but the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from tallystick.core import wire
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.simulated_bill import Besides, Outcome, SimulatedBill
from tallystick.core.simulation import Changes, Simulation, SimulationRequest, SimulationStatus
from tallystick.core.simulation_effect import with_bills, with_segments
from tallystick.core.terms import AccountPeriod
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.simulate import in_chunks, periods_of, simulate
from tallystick.ports import (
    Document,
    DocumentWhere,
    Found,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    Transaction,
)

KIND = "simulation"
CHUNK_KIND = "simulationchunk"
BILL_KIND = "simulatedbill"
AT_ONCE = 50  # bills that are simulated while somebody waits
CHUNK = 500
KEPT = 20  # simulations of an organisation; the oldest that has ended goes
_FINEST = 8  # decimals of a difference that count for its place in the list
_WIDTH = 40


class KeptSimulation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A simulation with what it is run from."""

    simulation: Simulation
    changes: Changes
    chunks: int = 0
    chunks_done: int = 0


class _Chunk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    periods: tuple[AccountPeriod, ...]


def create_simulation(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    request: SimulationRequest,
    changes: Changes,
    run: Run,
) -> Simulation:
    """Keep a new simulation, whose id is that of the run's job: of a few bills COMPLETE, of more PENDING until it is
    run. The usage store must hold the journal up to the run's position. Refusals: `unknown_reference`,
    `no_billing_period` where there is nothing to simulate."""
    periods = periods_of(records, request)
    if not periods:
        day = request.last_date_in_billing_period
        message = f"lastDateInBillingPeriod: none of these accounts has a billing period that ends with {day}"
        raise Refusal("no_billing_period", message, field="lastDateInBillingPeriod")
    id_, now, up_to = run.job_id, run.as_of, run.up_to
    made = Simulation(
        id=id_,
        version=1,
        status=SimulationStatus.PENDING,
        request=request,
        as_of=now,
        up_to=up_to,
        total=len(periods),
        done=0,
        failed=0,
        effects=(),
        dt_created=now,
        created_by=run.actor_id,
        dt_last_modified=now,
    )
    kept = KeptSimulation(simulation=made, changes=changes)
    parts = list(in_chunks(records, periods, CHUNK))
    bills: list[SimulatedBill] = []
    if len(periods) <= AT_ONCE:
        bills = simulate(
            records, usage, periods, changes, as_of=now, up_to=up_to, besides=_besides(request, with_lines=True)
        )
        kept, parts = _with(kept, bills, status=SimulationStatus.COMPLETE), []
    with records.transaction() as write:
        chunks = [_chunk_document(id_, number, part) for number, part in enumerate(parts)]
        if chunks:
            write.put_documents(CHUNK_KIND, chunks)
        _put_bills(write, kept.simulation, 0, bills)
        _put(write, msgspec.structs.replace(kept, chunks=len(chunks)))
        _forget_old(write)
    return kept.simulation


def run_chunk(records: OrganizationRecords, usage: OrganizationUsage, id: str, *, now: datetime) -> Simulation:
    """Simulate the next part; returns the simulation as it then is. Safe to call again at any time. What cannot be
    simulated at all leaves it FAILED with the reason."""
    kept = _read(records, id)
    made = kept.simulation
    if not made.status.active:
        return made
    document = records.document(CHUNK_KIND, _chunk_id(id, kept.chunks_done))
    assert document is not None, f"chunk {kept.chunks_done} of simulation {id} was kept when it was asked for"
    periods = wire.decode(_Chunk, document.body).periods
    problem, bills = None, []
    try:
        besides = _besides(made.request, with_lines=False)
        bills = simulate(records, usage, periods, kept.changes, as_of=made.as_of, up_to=made.up_to, besides=besides)
    except Refusal as refusal:
        if refusal.code.retry:
            raise
        problem = refusal.message
    with records.transaction() as write:
        stored = write.document(KIND, id)
        if stored is None:
            return made
        standing = wire.decode(KeptSimulation, stored.body)
        if not standing.simulation.status.active or standing.chunks_done != kept.chunks_done:
            return standing.simulation
        if problem is not None:
            kept = _moved(standing, now, status=SimulationStatus.FAILED, failure=problem)
        else:
            last = kept.chunks_done + 1 == kept.chunks
            _put_bills(write, made, kept.chunks_done, bills)
            kept = _with(standing, bills, status=SimulationStatus.COMPLETE if last else SimulationStatus.RUNNING)
            kept = _moved(msgspec.structs.replace(kept, chunks_done=standing.chunks_done + 1), now)
        _put(write, kept)
        write.remove_document(CHUNK_KIND, document.id)
    return kept.simulation


def cancel_simulation(records: OrganizationRecords, id: str, *, now: datetime) -> Simulation:
    """Stop a simulation after the chunk it is at; what it has found stays. A finished one stays as it is."""
    with records.transaction() as write:
        kept = _read(write, id)
        if kept.simulation.status.active:
            kept = _moved(kept, now, status=SimulationStatus.CANCELLED)
            _put(write, kept)
    return kept.simulation


def fail_simulation(records: OrganizationRecords, id: str, *, reason: str, now: datetime) -> None:
    """Give a simulation up that cannot go on, and say why."""
    with records.transaction() as write:
        kept = _read(write, id)
        if kept.simulation.status.active:
            _put(write, _moved(kept, now, status=SimulationStatus.FAILED, failure=reason))


def read_simulation(records: OrganizationRecords, id: str) -> Simulation:
    """One simulation; Refusal `not_found`."""
    return _read(records, id).simulation


def changes_of(records: OrganizationRecords, id: str) -> Changes:
    """What a simulation has other than it is kept; Refusal `not_found`."""
    return _read(records, id).changes


def list_simulations(records: OrganizationRecords, page: Page, *, active: bool = False) -> Found[Simulation]:
    """A page of simulations, newest first; with `active` only those that have something left to do."""
    found = records.documents(KIND, DocumentWhere(equal={"active": ["true"]} if active else {}), page)
    rows = tuple(wire.decode(KeptSimulation, each.body).simulation for each in found.rows)
    return Found(rows, found.next_token)


def simulated_bills(
    records: OrganizationRecords, id: str, page: Page, outcome: Outcome | None = None
) -> Found[SimulatedBill]:
    """A page of the bills of a simulation, those that change most first, then those that cannot be compared."""
    equal = {"simulation_id": [id]} | ({"outcome": [outcome.value]} if outcome else {})
    found = records.documents(BILL_KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(SimulatedBill, each.body) for each in found.rows), found.next_token)


def every_simulated_bill(records: OrganizationRecords, id: str) -> Iterator[SimulatedBill]:
    """All bills of a simulation, as `simulated_bills`, read page by page."""
    page: Page | None = Page(size=1_000)
    while page is not None:
        found = simulated_bills(records, id, page)
        yield from found.rows
        page = Page(size=1_000, token=found.next_token) if found.next_token else None


def simulations_to_run(records: OrganizationRecords) -> list[Simulation]:
    """Some simulations that have something to do, oldest first."""
    return list(list_simulations(records, Page(size=KEPT), active=True).rows)[::-1]


# ------------------------------------------------------------------------------------------------------ keeping


def _read(records: OrganizationRecords, id: str) -> KeptSimulation:
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no simulation {id[:40]!r} in this organization", field="id")
    return wire.decode(KeptSimulation, document.body)


def _with(kept: KeptSimulation, bills: Sequence[SimulatedBill], *, status: SimulationStatus) -> KeptSimulation:
    made = kept.simulation
    counted = msgspec.structs.replace(
        made,
        status=status,
        done=made.done + len(bills),
        failed=made.failed + sum(each.outcome is Outcome.FAILS for each in bills),
        effects=with_bills(made.effects, bills),
        segments=with_segments(made.segments, bills),
    )
    return msgspec.structs.replace(kept, simulation=counted)


def _besides(request: SimulationRequest, *, with_lines: bool) -> Besides:
    return Besides(with_lines=with_lines, segment_by=request.segment_by, cap=request.cap)


def _moved(kept: KeptSimulation, now: datetime, **changes: object) -> KeptSimulation:
    made = kept.simulation
    moved = msgspec.structs.replace(made, version=made.version + 1, dt_last_modified=Instant.of(now), **changes)
    return msgspec.structs.replace(kept, simulation=moved)


def _put(write: Transaction, kept: KeptSimulation) -> None:
    made = kept.simulation
    document = Document(id=made.id, sort=made.dt_created.stamp(), keys=made.keys, body=wire.encode(kept))
    write.put_documents(KIND, [document])


def _put_bills(write: Transaction, made: Simulation, chunk: int, bills: Sequence[SimulatedBill]) -> None:
    documents = [
        Document(
            id=named_id(made.id, f"bill/{chunk}/{number}"),
            sort=_place(each),
            keys={"simulation_id": made.id, "outcome": each.outcome.value},
            body=wire.encode(each),
        )
        for number, each in enumerate(bills)
    ]
    if documents:
        write.put_documents(BILL_KIND, documents)


def _place(bill: SimulatedBill) -> str:
    """In the list, which falls, the greatest change stands first, whichever way it goes."""
    size = int(bill.difference.copy_abs().scaleb(_FINEST).to_integral_value())
    return f"{size:0{_WIDTH}}"


def _chunk_id(id: str, number: int) -> str:
    return named_id(id, f"chunk/{number}")


def _chunk_document(id: str, number: int, periods: Sequence[AccountPeriod]) -> Document:
    body = wire.encode(_Chunk(periods=tuple(periods)))
    return Document(id=_chunk_id(id, number), sort=f"{number:09}", keys={"simulation_id": id}, body=body)


def _forget_old(write: Transaction) -> None:
    """Drop the simulations beyond those that are kept, with all that they found."""
    every = every_document(write, KIND, DocumentWhere())
    ended = [each.id for each in every[KEPT:] if each.keys["active"] == "false"]
    for kind in (CHUNK_KIND, BILL_KIND):
        for id_ in ended:
            found = every_document(write, kind, DocumentWhere(equal={"simulation_id": [id_]}))
            if found:
                write.remove_documents(kind, [each.id for each in found])
    if ended:
        write.remove_documents(KIND, ended)
