"""Sources of usage over HTTP: what is fetched from where, how each stands, its credentials and its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from tallystick.api.crud import CODES, IDS, PAGING, Crud, Reply, by_ids_and_codes, desk_of
from tallystick.api.routing import Call, Paged, Route, entity_reply, struct_page
from tallystick.control.usage_sources import USAGE_SOURCES, has_credentials, set_credentials, set_paused
from tallystick.core.entity import Entity, Value
from tallystick.core.usage_source import FileProgress, SourceFile, SourceState, UsageSource
from tallystick.pipeline.usage_sources import list_files, state_of, states_of
from tallystick.ports import OrganizationRecords

TAG = "Sources of usage"
BASE = "/usagesources"
ONE = f"{BASE}/{{id}}"

Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]


class SourceCredentials(Value, frozen=True, kw_only=True):
    """What a source is read with; nothing shows it again. Kafka takes username and password, Kinesis and S3 take
    accessKeyId and secretAccessKey. None at all forgets them."""

    username: Secret | None = None
    password: Secret | None = None
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None


class CredentialsKept(Value, frozen=True, kw_only=True):
    """Whether a source has credentials now."""

    id: str
    has_credentials: bool


def shown(records: OrganizationRecords, sources: Sequence[Entity[UsageSource]]) -> list[Reply]:
    """Sources with how each stands."""
    states = states_of(records, [each.id for each in sources])
    return [{**entity_reply(each), "state": states[each.id]} for each in sources]


def _checked(run: Callable[..., object]) -> Callable[..., object]:
    """A create or an update, of what the operator lets sources connect to."""

    def checked(call: Call, body: Any) -> object:
        call.app.feeds.require_allowed(body.configuration)
        return run(call, body)

    return checked


def _state(call: Call) -> SourceState:
    return state_of(call.records, USAGE_SOURCES.retrieve(call.records, call.path["id"]).id)


def _credentials(call: Call, body: SourceCredentials) -> CredentialsKept:
    given = {name: text for name, text in msgspec.to_builtins(body).items() if text is not None}
    source = set_credentials(desk_of(call), call.app.vault, call.path["id"], given)
    return CredentialsKept(id=source.id, has_credentials=has_credentials(call.records, source.id))


def _pause(call: Call) -> Reply:
    return shown(call.records, [set_paused(desk_of(call), call.path["id"], paused=True)])[0]


def _resume(call: Call) -> Reply:
    return shown(call.records, [set_paused(desk_of(call), call.path["id"], paused=False)])[0]


def _files(call: Call) -> Reply:
    source = USAGE_SOURCES.retrieve(call.records, call.path["id"])
    found = list_files(call.records, source.id, call.query.page(), call.query.choice("status", FileProgress))
    return struct_page(found.rows, found.next_token)


CRUD = Crud(
    noun=USAGE_SOURCES,
    path=BASE,
    tag=TAG,
    where=by_ids_and_codes,
    filters={"ids": IDS, "codes": CODES},
    show=shown,
)
ROUTES = (
    *(replace(each, run=_checked(each.run)) if each.method in {"POST", "PUT"} else each for each in CRUD.routes()),
    Route(
        method="GET",
        path=f"{ONE}/state",
        run=_state,
        summary="Read how a source stands: how far it was read, what became of it, what is wrong",
        tag=TAG,
        scope="config:retrieve",
        reply=SourceState,
    ),
    Route(
        method="PUT",
        path=f"{ONE}/credentials",
        run=_credentials,
        summary="Set what a source is read with; it is sealed and never shown",
        tag=TAG,
        scope="config:update",
        body=SourceCredentials,
        reply=CredentialsKept,
    ),
    Route(
        method="POST",
        path=f"{ONE}/pause",
        run=_pause,
        summary="Let a source rest",
        tag=TAG,
        scope="config:update",
        reply=CRUD.routes()[0].reply,
    ),
    Route(
        method="POST",
        path=f"{ONE}/resume",
        run=_resume,
        summary="Let a source go on where it was",
        tag=TAG,
        scope="config:update",
        reply=CRUD.routes()[0].reply,
    ),
    Route(
        method="GET",
        path=f"{ONE}/files",
        run=_files,
        summary="List the files of a source with what became of their rows, the latest first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(SourceFile),
        query={"status": "Only files that are TAKING, DONE or FAILED.", **PAGING},
    ),
)
