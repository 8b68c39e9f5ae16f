"""Integration configurations over HTTP: what is handed over to which outside service (source: reference 2.12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tallystick.api.crud import IDS, PAGING, Crud, Reply, desk_of, where_of
from tallystick.api.routing import Call, Envelope, Route, Rows, entity_reply
from tallystick.control.integration_runs import RunFilter, list_runs
from tallystick.control.integrations import (
    INTEGRATIONS,
    create_integration,
    is_authorized,
    switch,
    update_integration,
)
from tallystick.core.entity import Entity, Id, Name, Value
from tallystick.core.integration import SYSTEMS, CredentialType, Destination, IntegrationConfig, RunStatus, System
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Page, Where

_TAG = "Integrations"


class IntegrationConfigRequest(Value, frozen=True, kw_only=True):
    """What happens to entities of a type, or to one of them, goes to a destination. `credentials` are what its service
    is signed in to with: `type`, and what belongs to that; they are sealed and never shown again."""

    entity_type: str
    destination: Destination
    entity_id: str | None = None
    destination_id: Id | None = None
    config_data: dict[str, Any] | None = None
    credentials: dict[str, Any] | None = None
    integration_credentials_id: Id | None = None
    name: Name | None = None
    enabled: bool | None = None
    version: int | None = None

    def value(self) -> IntegrationConfig:
        """The configuration, without its credentials."""
        return IntegrationConfig(
            entity_type=self.entity_type,
            destination=self.destination,
            entity_id=self.entity_id,
            destination_id=self.destination_id,
            config_data=self.config_data or {},
            name=self.name,
            integration_credentials_id=self.integration_credentials_id,
            enabled=self.enabled is not False,
        )


class SystemReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A service that can be handed over to."""

    identifier: str
    display_name: str
    validation_supported: bool
    supported_auth_types: list[CredentialType]


class AvailableReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What can be configured: by entity type, the systems that take it."""

    supported_entities: dict[str, dict[str, list[str]]]
    selected_configurations: dict[str, list[str]]
    global_configuration_options: list[str]


class EntityTypeReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A type of entity that a service takes."""

    entity_type: str


class AuthReply(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials that a service is signed in to with."""

    type: CredentialType


def _show(_: OrganizationRecords, entities: Sequence[Entity[IntegrationConfig]]) -> list[Reply]:
    return [_shown(each) for each in entities]


def _shown(entity: Entity[IntegrationConfig]) -> Reply:
    reply = entity_reply(entity)
    reply.pop("sealedCredentials", None)
    return {**reply, "authorized": is_authorized(entity.value), "triggerType": "EVENT"}


def _where(call: Call) -> Where:
    query = call.query
    destination = query.choice("destination", Destination)
    return where_of(
        call,
        id=query.texts("ids"),
        destination=destination.value if destination is not None else None,
        destination_id=query.text("destinationId"),
        entity_type=query.text("entityType"),
        entity_id=query.text("entityId"),
    )


_FILTERS = {
    "destination": "Only configurations that hand over to this destination, such as WEBHOOK.",
    "destinationId": "Only configurations that hand over to this webhook.",
    "entityId": "Only configurations of this entity.",
}
CRUD = Crud(
    noun=INTEGRATIONS,
    path="/integrationconfigs",
    tag=_TAG,
    where=_where,
    show=_show,
    body=IntegrationConfigRequest,
    filters={"ids": IDS, "entityType": "Only configurations of this type of entity.", **_FILTERS},
)


def create(call: Call, body: IntegrationConfigRequest) -> Reply:
    """A new configuration."""
    return _shown(create_integration(desk_of(call), call.app.vault, body.value(), body.credentials))


def update(call: Call, body: IntegrationConfigRequest) -> Reply:
    """Another configuration in its place."""
    desk, id_ = desk_of(call), call.path["id"]
    given = (body.value(), body.credentials)
    return _shown(update_integration(desk, call.app.vault, id_, *given, enabled=body.enabled, version=body.version))


def retrieve(call: Call) -> Reply:
    """One configuration, with the status of its latest run: m3ter's clients read it as one."""
    return _with_status(call, INTEGRATIONS.retrieve(call.records, call.path["id"]))


def of_entity_type(call: Call) -> Reply:
    """The latest configuration of a type of entity."""
    where = _where(call)
    where = Where(equal={**(where.equal or {}), "entity_type": (call.path["entityType"],)})
    found = INTEGRATIONS.find(call.records, where, call.query.page()).rows
    if not found:
        what = f"there is no integration configuration for {call.path['entityType'][:80]!r}"
        raise Refusal("not_found", f"entityType: {what}", field="entityType")
    return _with_status(call, found[0])


def _with_status(call: Call, entity: Entity[IntegrationConfig]) -> Reply:
    latest = list_runs(call.records, RunFilter(config_id=entity.id), Page(size=1)).rows
    none_yet = RunStatus.WAITING if entity.value.enabled else RunStatus.DISABLED
    return {"entityId": "", **_shown(entity), "status": latest[0].status if latest else none_yet}


def enable(call: Call) -> Reply:
    """Hand over from now on."""
    return _shown(switch(desk_of(call), call.path["id"], enabled=True))


def disable(call: Call) -> Reply:
    """Hand nothing over until it is enabled."""
    return _shown(switch(desk_of(call), call.path["id"], enabled=False))


def available(call: Call) -> AvailableReply:
    """What can be configured."""
    name, entity_type = call.query.text("systemName"), call.query.text("entityType")
    found: dict[str, list[str]] = {}
    for destination, system in _systems(call).items():
        for each in system.entities or ("Bill", "Notification"):
            if name in {None, destination.value} and entity_type in {None, each}:
                found.setdefault(each, []).append(destination.value)
    return AvailableReply(
        supported_entities={each: {"systems": names} for each, names in found.items()},
        selected_configurations={},
        global_configuration_options=[],
    )


def systems(call: Call) -> list[SystemReply]:
    """The services that can be handed over to."""
    wanted = call.query.text("entityType")
    return [
        SystemReply(
            identifier=destination.value,
            display_name=system.name,
            validation_supported=False,
            supported_auth_types=list(system.credentials),
        )
        for destination, system in _systems(call).items()
        if wanted is None or system.entities is None or wanted in system.entities
    ]


def entities(call: Call) -> list[EntityTypeReply]:
    """The types of entity that a service takes."""
    return [EntityTypeReply(entity_type=each) for each in _system(call).entities or ("Bill", "Notification")]


def credentials(call: Call) -> list[AuthReply]:
    """What a service is signed in to with."""
    return [AuthReply(type=each) for each in _system(call).credentials]


def _systems(call: Call) -> dict[Destination, System]:
    return {each: SYSTEMS[each] for each in Destination if each in call.app.performers}


def _system(call: Call) -> System:
    name = call.path["systemName"]
    found = {each.value: system for each, system in _systems(call).items()}.get(name)
    if found is None:
        raise Refusal("not_found", f"systemName: nothing here hands over to {name[:40]!r}", field="systemName")
    return found


def _route(method: str, path: str, run: Any, summary: str, reply: object, **more: Any) -> Route:
    scope = "config:update" if method == "POST" else "config:retrieve"
    return Route(method=method, path=path, run=run, summary=summary, tag=_TAG, scope=scope, reply=reply, **more)


_INSTEAD = {"POST": create, "PUT": update}
_AVAILABLE = "/integrationconfigs/available"

ROUTES = (
    _route(
        "GET",
        _AVAILABLE,
        available,
        "List which entities can be handed over to which services",
        AvailableReply,
        query={"systemName": "Only this service.", "entityType": "Only this type of entity."},
    ),
    _route(
        "GET",
        _AVAILABLE + "/systems",
        systems,
        "List the services that can be handed over to",
        Rows(SystemReply),
        query={"entityType": "Only services that take this type of entity."},
    ),
    _route(
        "GET",
        _AVAILABLE + "/{systemName}/entities",
        entities,
        "List which entities a service takes",
        Rows(EntityTypeReply),
    ),
    _route(
        "GET",
        _AVAILABLE + "/{systemName}/auth/{entityType}",
        credentials,
        "List what a service is signed in to with",
        Rows(AuthReply),
    ),
    _route(
        "GET",
        "/integrationconfigs/entity/{entityType}",
        of_entity_type,
        "Retrieve the latest integration configuration of a type of entity",
        Envelope(IntegrationConfig),
        query={**_FILTERS, **PAGING},
    ),
    _route(
        "POST",
        "/integrationconfigs/{id}/enable",
        enable,
        "Enable an integration configuration",
        Envelope(IntegrationConfig),
    ),
    _route(
        "POST",
        "/integrationconfigs/{id}/disable",
        disable,
        "Disable an integration configuration",
        Envelope(IntegrationConfig),
    ),
    *(
        replace(each, run=retrieve) if each.path.endswith("{id}") and each.method == "GET" else each
        for each in (replace(route, run=_INSTEAD.get(route.method, route.run)) for route in CRUD.routes())
    ),
)
