"""Simulations over HTTP: what bills of a past period would be under a candidate, a catalogue that is not kept."""

from __future__ import annotations

from tallystick.api.bill_preview import WAIT, counted_up_to
from tallystick.api.crud import PAGING, desk_of
from tallystick.api.routing import Call, Paged, Raw, Route, struct_page
from tallystick.control.candidates import try_candidate
from tallystick.control.desk import new_id
from tallystick.core.period import Instant
from tallystick.core.simulated_bill import Outcome, SimulatedBill
from tallystick.core.simulation import Simulation, SimulationRequest
from tallystick.core.simulation_csv import simulation_csv
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run
from tallystick.pipeline.simulation_job import (
    AT_ONCE,
    cancel_simulation,
    create_simulation,
    every_simulated_bill,
    list_simulations,
    read_simulation,
    simulated_bills,
)
from tallystick.ports import Page

TAG = "Simulations"


class SimulationReply(Simulation, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A simulation. One of a few bills has them with it, line by line; those of more are paged by themselves."""

    bills: tuple[SimulatedBill, ...] | None = None


def create(call: Call, body: SimulationRequest) -> SimulationReply:
    """Try the candidate and simulate: a few bills at once, more by a job."""
    changes = try_candidate(desk_of(call), body.candidate)
    up_to = counted_up_to(call, call.app.journal.last)
    run = Run(job_id=new_id(), as_of=Instant.of(call.now), up_to=up_to, actor_id=call.actor.id)
    return _reply(call, create_simulation(call.records, call.usage, body, changes, run))


def retrieve(call: Call) -> SimulationReply:
    """One simulation, how far it has come and what it has found so far."""
    return _reply(call, read_simulation(call.records, call.path["id"]))


def find(call: Call) -> dict[str, object]:
    """A page of simulations, newest first."""
    found = list_simulations(call.records, call.query.page(), active=call.query.flag("active") is True)
    return struct_page(found.rows, found.next_token)


def find_bills(call: Call) -> dict[str, object]:
    """A page of the bills of a simulation, the greatest changes first."""
    made = read_simulation(call.records, call.path["id"])
    outcome = call.query.text("outcome")
    if outcome is not None and outcome not in Outcome.__members__:
        message = f"outcome: must be one of {', '.join(Outcome)}, got {outcome[:40]!r}"
        raise Refusal("invalid_request", message, field="outcome")
    found = simulated_bills(call.records, made.id, call.query.page(), None if outcome is None else Outcome(outcome))
    return struct_page(found.rows, found.next_token)


def csv(call: Call) -> Raw:
    """All bills that were simulated so far as a file for spreadsheets."""
    made = read_simulation(call.records, call.path["id"])
    name = f"simulation-{made.request.last_date_in_billing_period}.csv"
    return Raw(simulation_csv(every_simulated_bill(call.records, made.id)), "text/csv", name)


def cancel(call: Call) -> SimulationReply:
    """Stop a simulation; what it has found stays."""
    return _reply(call, cancel_simulation(call.records, call.path["id"], now=call.now))


def _reply(call: Call, made: Simulation) -> SimulationReply:
    bills = None
    if made.total <= AT_ONCE and not made.status.active:
        bills = simulated_bills(call.records, made.id, Page(size=AT_ONCE)).rows
    return SimulationReply(**{name: getattr(made, name) for name in Simulation.__struct_fields__}, bills=bills)


ROUTES = (
    Route(
        method="POST",
        path="/simulations",
        run=create,
        summary="See what bills would be under another catalogue, which is not kept",
        tag=TAG,
        scope="config:create",
        body=SimulationRequest,
        reply=SimulationReply,
        query={"wait": WAIT},
    ),
    Route(
        method="GET",
        path="/simulations",
        run=find,
        summary="List simulations",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(Simulation),
        query={"active": "true: only simulations with something left to do.", **PAGING},
    ),
    Route(
        method="GET",
        path="/simulations/{id}",
        run=retrieve,
        summary="Read a simulation, how far it is and what it comes to",
        tag=TAG,
        scope="config:retrieve",
        reply=SimulationReply,
    ),
    Route(
        method="GET",
        path="/simulations/{id}/bills",
        run=find_bills,
        summary="List the bills of a simulation, those that change most first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(SimulatedBill),
        query={"outcome": "Only RISES, FALLS, SAME or FAILS.", **PAGING},
    ),
    Route(
        method="GET",
        path="/simulations/{id}/csv",
        run=csv,
        summary="The bills of a simulation as CSV",
        tag=TAG,
        scope="config:retrieve",
    ),
    Route(
        method="POST",
        path="/simulations/{id}/cancel",
        run=cancel,
        summary="Stop a simulation",
        tag=TAG,
        scope="config:update",
        reply=SimulationReply,
    ),
)
