"""Hand over: from waiting events to runs, and from runs to outside services (docs/decisions/0472-hand-over-engine.md).

`dispatch` makes a run for each configuration that wants a waiting event. `take` marks runs that are due as started,
`perform` does what they say, outside any transaction, and `keep` keeps how they went. Killed anywhere and called again,
they go on where it stopped: a run that was started is taken up again, with the same id.

What a configuration hands over about one entity goes one at a time, in the order of the events: a run whose forerunner
is not finished waits for it. `due` documents are what may be taken: one for the foremost run of each entity.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.ids import named_id
from tallystick.core.integration import (
    RUN,
    UNFINISHED,
    Destination,
    IntegrationConfig,
    IntegrationRun,
    RunStatus,
    Waiting,
    first_run,
    lane_of,
    pause_after,
)
from tallystick.core.notification import (
    EVENT_TYPE,
    FAILED_TYPE,
    NotificationConfiguration,
    failure,
    fires,
    notification,
)
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.failpoints import reached
from tallystick.outbox import EVENT, INTEGRATION_EVENT, OUTBOX, event_document, put_events
from tallystick.ports import Actor, Document, DocumentWhere, OrganizationRecords, Page, Transaction, Where
from tallystick.ports.handover import HandedOver, HandOver, Performer

log = logging.getLogger(__name__)

DUE = "handoverdue"  # the kind of document that says that a run may be taken, and when
AT_ONCE = 500  # waiting events that become runs in one transaction
SERVER = "server"  # who keeps the mappings that a performer found
_LATER = frozenset({RunStatus.AWAITING_RETRY, RunStatus.RATE_LIMIT_RETRY})
_TOLD_AS = {
    RunStatus.AUTH_FAILED: "integration.authentication.error",
    RunStatus.DISABLED: "integration.disabled.error",
}


# --------------------------------------------------------------------------------------------------- events to runs


def dispatch(records: OrganizationRecords, now: Instant, most: int = AT_ONCE) -> int:
    """Make runs of waiting events, the oldest first, in one transaction. Returns how many events no longer wait."""
    if not _waiting(records, 1):
        return 0
    with records.transaction() as write:
        found = _waiting(write, most)
        waiting = [wire.decode(Waiting, each.body) for each in found]
        wanted = {id_ for each in waiting for id_ in each.configs}
        configs = write.get_many(IntegrationConfig, wanted)
        runs = [
            (document.sort, first_run(configs[id_], each, now))
            for document, each in zip(found, waiting, strict=True)
            for id_ in each.configs
            if id_ in configs  # whoever has gone in the meantime wants nothing
        ]
        _queue(write, runs)
        put_events(write, _notifications(write, waiting))
        write.remove_documents(OUTBOX, [each.id for each in found])
        reached("outbox.dispatched, not committed")
    reached("outbox.dispatched")
    return len(found)


def _notifications(write: Transaction, waiting: Sequence[Waiting]) -> list[Document]:
    """What the rules that looked at the events make of them, each as it stood when its event happened. A formula that
    cannot be computed from an event is told by an event of its own."""
    looked_at = [each for each in waiting if each.rules]
    events = {each.id: wire.decode(Event, each.body) for each in _by_ids(write, EVENT, [e.event_id for e in looked_at])}
    made = []
    for each in looked_at:
        event = events[each.event_id]  # it is kept as long as it waits
        for id_, version in each.rules:
            rule = write.at_version(NotificationConfiguration, id_, version)
            assert rule is not None, "every version is kept"
            try:
                fired = notification(id_, rule.value, event) if fires(rule.value, event) else None
                of_type = EVENT_TYPE
            except ValueError as problem:  # also what was a formula once, and is none now
                fired, of_type = failure(id_, rule.value, event, problem), FAILED_TYPE
            if fired is not None:
                about = {"account_id": each.account_id, "resource_id": id_}
                made.append(event_document(fired, event_type=of_type, **about))
    return made


def _waiting(records: OrganizationRecords, most: int) -> Sequence[Document]:
    return records.documents(OUTBOX, DocumentWhere(), Page(size=most, oldest_first=True)).rows


def _queue(write: Transaction, runs: Sequence[tuple[str, IntegrationRun]]) -> None:
    """Keep new runs behind those that are there. An event that was told again has its runs already."""
    ids = [run.id for _, run in runs]
    there = {each for (each,) in write.keys_of(RUN, DocumentWhere(equal={"id": ids}), ("id",), len(ids))} if ids else ()
    new = [(place, run) for place, run in runs if run.id not in there]
    lanes = {lane_of(run.config_id, run.subject) for _, run in new}
    taken = _lanes_taken(write, lanes)
    due = []
    for _, run in new:
        lane = lane_of(run.config_id, run.subject)
        if lane not in taken:
            taken.add(lane)
            due.append(_due_document(run, run.created))
    write.put_documents(RUN, [run_document(run, place) for place, run in new])
    write.put_documents(DUE, due)


def _lanes_taken(read: OrganizationRecords, lanes: Collection[str]) -> set[str | None]:
    """Those of the lanes in which a run is under way or due: each has one foremost run."""
    if not lanes:
        return set()
    return {lane for (lane,) in read.keys_of(DUE, DocumentWhere(equal={"lane": lanes}), ("lane",), len(lanes))}


def run_document(run: IntegrationRun, place: str) -> Document:
    """A run as it is stored: found by what it is of, latest event first, and by its lane until it is finished."""
    keys = {
        "status": run.status.value,
        "config_id": run.config_id,
        "entity_type": run.entity_type,
        "entity_id": run.entity_id,
        "event_id": run.event_id,
    }
    if run.destination_id is not None:
        keys["destination_id"] = run.destination_id
    if run.status in UNFINISHED:
        keys["lane"] = lane_of(run.config_id, run.subject)
    return Document(id=run.id, sort=place, keys=keys, body=wire.encode(run))


def read_run(document: Document) -> IntegrationRun:
    """The run in a stored document."""
    return wire.decode(IntegrationRun, document.body)


def _due_document(run: IntegrationRun, due: Instant) -> Document:
    keys = {"config_id": run.config_id, "lane": lane_of(run.config_id, run.subject)}
    return Document(id=run.id, sort=due.stamp(), keys=keys, body=b"{}")


# ------------------------------------------------------------------------------------------------ runs that are due


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Runs that may be taken now: of which configurations, and how many of each (as far as it was counted)."""

    runs: Mapping[str, int]
    later: bool  # whether others may be taken at a later time


def due_runs(records: OrganizationRecords, now: Instant, most: int) -> Due:
    """What may be taken of each configuration, also of one that has gone: at most so many are counted of each."""
    if not records.documents(DUE, DocumentWhere(), Page(size=1)).rows:
        return Due(runs={}, later=False)
    configs = [each.id for each in records.every(IntegrationConfig)]
    first = records.documents(DUE, _due_by(now), Page(size=most, oldest_first=True)).rows
    configs += [id_ for each in first if (id_ := each.keys["config_id"]) not in configs]
    counted = {id_: len(records.keys_of(DUE, _due_by(now, id_), ("id",), most)) for id_ in dict.fromkeys(configs)}
    return Due(runs={id_: count for id_, count in counted.items() if count}, later=True)


def _due_by(now: Instant, config_id: str | None = None) -> DocumentWhere:
    equal = {"config_id": (config_id,)} if config_id is not None else None
    return DocumentWhere(equal=equal, between={"sort": (None, now.stamp())})


def choose(records: OrganizationRecords, config_id: str, now: Instant, most: int, busy: Collection[str]) -> list[str]:
    """The ids of runs of a configuration that may be taken: those that waited the longest, without the busy ones."""
    page = Page(size=most + len(busy), oldest_first=True)
    found = records.documents(DUE, _due_by(now, config_id), page).rows
    return [each.id for each in found if each.id not in busy][:most]


def take(records: OrganizationRecords, ids: Sequence[str], now: Instant) -> list[HandOver]:
    """Mark runs as started, in one transaction, and say what is to be performed. Those that cannot be, since their
    configuration is disabled or gone, end as DISABLED."""
    with records.transaction() as write:
        documents = {each.id: each for each in _by_ids(write, RUN, ids)}
        runs = [read_run(documents[id_]) for id_ in ids if id_ in documents]
        configs = write.get_many(IntegrationConfig, {each.config_id for each in runs})
        events = {each.id: wire.decode(Event, each.body) for each in _by_ids(write, EVENT, [e.event_id for e in runs])}
        taken: list[HandOver] = []
        for run in runs:
            config, event, place = configs.get(run.config_id), events.get(run.event_id), documents[run.id].sort
            refused = _refused(config, event)
            if refused is not None or config is None or event is None:
                assert refused is not None, "what is missing was refused"
                _finish(write, run, place, refused, now)
                continue
            started = msgspec.structs.replace(
                run, status=RunStatus.STARTED, attempts=run.attempts + 1, dt_started=now, due=None
            )
            write.put_documents(RUN, [run_document(started, place)])
            taken.append(HandOver(run=started, event=event, config=config, records=records, now=now))
    if taken:
        reached("handover.started")
    return taken


def _by_ids(records: OrganizationRecords, kind: str, ids: Sequence[str]) -> Sequence[Document]:
    return records.documents(kind, DocumentWhere(equal={"id": ids}), Page(size=len(ids))).rows if ids else ()


def _refused(config: Entity[IntegrationConfig] | None, event: Event | None) -> HandedOver | None:
    """Why a run cannot be performed at all."""
    if config is None:
        return HandedOver(status=RunStatus.DISABLED, error="the integration configuration was deleted")
    if not config.value.enabled:
        why = "the integration configuration is disabled; enable it, then retry this run"
        return HandedOver(status=RunStatus.DISABLED, error=why)
    if event is None:
        return HandedOver(status=RunStatus.ERROR, error="the event is no longer kept")
    return None


# ---------------------------------------------------------------------------------------------------- perform, keep


def perform(performers: Mapping[Destination, Performer], what: HandOver) -> HandedOver:
    """Have a run performed. What its performer raises is told by its type alone, for its text may hold secrets."""
    destination = what.config.value.destination
    performer = performers.get(destination)
    if performer is None:
        return HandedOver(status=RunStatus.ERROR, error=f"nothing here hands over to {destination}")
    try:
        outcome = performer.perform(what)
    except Exception as problem:
        log.exception("handing over to %s failed, run %s; it is tried again", destination, what.run.id)
        error = f"failed by itself ({type(problem).__name__}); the log of the server says more"
        outcome = HandedOver(status=RunStatus.AWAITING_RETRY, error=error)
    reached("handover.performed")
    return outcome


def keep(
    records: OrganizationRecords, outcomes: Sequence[tuple[IntegrationRun, HandedOver]], now: Instant, attempts: int
) -> None:
    """Keep how runs went, with the mappings that were found. A run is tried `attempts` times at most."""
    with records.transaction() as write:
        places = {each.id: each.sort for each in _by_ids(write, RUN, [run.id for run, _ in outcomes])}
        for run, performed in outcomes:
            if performed.also is not None:
                performed.also(write, now)
            clash = _keep_mappings(write, performed.mappings, now)
            outcome = performed if clash is None else replace(performed, status=RunStatus.ERROR, error=clash)
            if outcome.status in _LATER and run.attempts < attempts:
                _keep_for_later(write, run, places[run.id], outcome, now)
            elif outcome.status in _LATER:
                error = f"given up after {run.attempts} attempts: {outcome.error or outcome.status}"
                ended = HandedOver(status=RunStatus.ERROR, problem=outcome.problem, error=error, log=outcome.log)
                _finish(write, run, places[run.id], ended, now)
            else:
                _finish(write, run, places[run.id], outcome, now)
    reached("handover.kept")


def _keep_for_later(write: Transaction, run: IntegrationRun, place: str, outcome: HandedOver, now: Instant) -> None:
    due = Instant.of(now + pause_after(run.id, run.attempts))
    if outcome.not_before is not None:
        due = max(due, outcome.not_before)
    waits = msgspec.structs.replace(
        run, status=outcome.status, error=outcome.error, log=outcome.log, url=outcome.url or run.url, due=due
    )
    write.put_documents(RUN, [run_document(waits, place)])
    write.put_documents(DUE, [_due_document(waits, due)])


def _finish(write: Transaction, run: IntegrationRun, place: str, outcome: HandedOver, now: Instant) -> None:
    """Keep the end of a run, and let the next in its lane go."""
    assert outcome.status not in UNFINISHED, f"{outcome.status} is no end"
    ended = msgspec.structs.replace(
        run,
        status=outcome.status,
        external_id=outcome.external_id or run.external_id,
        url=outcome.url or run.url,
        error=outcome.error,
        log=outcome.log,
        due=None,
        dt_completed=now,
    )
    write.put_documents(RUN, [run_document(ended, place)])
    write.remove_document(DUE, run.id)
    lane = DocumentWhere(equal={"lane": (lane_of(run.config_id, run.subject),)})
    for following in write.documents(RUN, lane, Page(size=1, oldest_first=True)).rows:
        write.put_documents(DUE, [_due_document(read_run(following), now)])
    if outcome.status is not RunStatus.COMPLETE:
        put_events(write, [_failure(ended, outcome, now)])


def _failure(run: IntegrationRun, outcome: HandedOver, now: Instant) -> Document:
    """The event of a run that did not come to what it should."""
    name = _TOLD_AS.get(run.status, outcome.problem.value)
    details = {
        "eventName": name,
        "integrationRunId": run.id,
        "integrationConfigId": run.config_id,
        "destination": run.destination.value,
        "destinationId": run.destination_id,
        "entityType": run.entity_type,
        "entityId": run.entity_id,
        "eventId": run.event_id,
        "accountId": run.account_id,
        "status": run.status.value,
        "attempts": run.attempts,
        "error": run.error,
    }
    event = Event(
        id=named_id(run.id, f"failed/{run.attempts}/{now.stamp()}"),
        event_name=name,
        event_time=now,
        m3ter_event={key: value for key, value in details.items() if value is not None},
    )
    return event_document(event, event_type=INTEGRATION_EVENT, account_id=run.account_id, resource_id=run.id)


def _keep_mappings(write: Transaction, mappings: Sequence[ExternalMapping], now: Instant) -> str | None:
    """Keep mappings that are not there yet; says what is wrong where one stands for another entity already."""
    for mapping in mappings:
        there = [each.value for each in write.every(ExternalMapping, Where(equal=mapping.place))]
        other = mapping.clash(there)
        if other is not None:
            return (
                f"{mapping.external_system} {mapping.external_table} {mapping.external_id} is the external id of "
                f"{mapping.m3ter_entity} {other} already; delete that mapping if it is wrong, then retry this run"
            )
        if not there:
            id_ = named_id(mapping.m3ter_id, "/".join((mapping.external_system, mapping.external_table, now.stamp())))
            write.insert(
                Entity(
                    id=id_,
                    version=1,
                    value=mapping,
                    created=now,
                    created_by=SERVER,
                    modified=now,
                    modified_by=SERVER,
                )
            )
    return None


def retry(records: OrganizationRecords, id: str, *, now: Instant, by: Actor) -> IntegrationRun:
    """Have a run that has ended handed over again, with the same id, behind what is under way about its entity.

    Refusals `not_found`, and `rule_broken` where it is under way by itself or its event is no longer kept.
    """
    with records.transaction() as write:
        document = write.document(RUN, id)
        if document is None:
            raise Refusal("not_found", f"id: there is no integration run {id[:40]!r} in this organization", field="id")
        before = read_run(document)
        if before.status in UNFINISHED:
            raise Refusal("rule_broken", f"id: the run is {before.status}: it is handed over by itself", field="id")
        if write.document(EVENT, before.event_id) is None:
            raise Refusal("rule_broken", "id: the event of this run is no longer kept", field="id")
        run = run_again(write, document, now)
        write.note("RETRY", RUN, id, at=now, by=by)
    return run


def run_again(write: Transaction, document: Document, now: Instant) -> IntegrationRun:
    """The same as part of a larger transaction, of a run that has ended and whose event is kept."""
    run = msgspec.structs.replace(
        read_run(document), status=RunStatus.WAITING, attempts=0, due=now, error=None, dt_completed=None
    )
    if not _lanes_taken(write, {lane_of(run.config_id, run.subject)}):
        write.put_documents(DUE, [_due_document(run, now)])
    write.put_documents(RUN, [run_document(run, document.sort)])
    return run
