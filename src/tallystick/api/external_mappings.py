"""External mappings over HTTP (source: reference 2.12)."""

from __future__ import annotations

from tallystick.api.crud import IDS, PAGING, Crud, where_of
from tallystick.api.routing import Call, Envelope, Paged, Route
from tallystick.control.external_mappings import EXTERNAL_MAPPINGS
from tallystick.core.external_mapping import ExternalMapping
from tallystick.ports import Where

_TAG = "Integrations"


def _where(call: Call) -> Where:
    query = call.query
    return where_of(
        call,
        id=query.texts("ids"),
        external_system=query.text("externalSystemId"),
        m3ter_id=query.texts("m3terIds"),
        integration_config_id=query.text("integrationConfigId"),
    )


CRUD = Crud(
    noun=EXTERNAL_MAPPINGS,
    path="/externalmappings",
    tag=_TAG,
    where=_where,
    filters={
        "ids": IDS,
        "externalSystemId": "Only mappings to this system, by its name.",
        "m3terIds": "Only mappings of these entities, comma-joined.",
        "integrationConfigId": "Only mappings of this integration configuration.",
    },
)


def of_entity(call: Call) -> dict[str, object]:
    """What an entity is called elsewhere."""
    where = where_of(call, m3ter_entity=call.path["entity"], m3ter_id=call.path["m3terId"])
    return CRUD.page(call.records, EXTERNAL_MAPPINGS.find(call.records, where, call.query.page()))


def of_external(call: Call) -> dict[str, object]:
    """Which entities an external id stands for."""
    where = where_of(
        call,
        external_system=call.path["system"],
        external_table=call.path["externalTable"],
        external_id=call.path["externalId"],
    )
    return CRUD.page(call.records, EXTERNAL_MAPPINGS.find(call.records, where, call.query.page()))


_LOOKUPS = (
    ("/externalmappings/external/{entity}/{m3terId}", of_entity, "List what an entity is called in other systems"),
    (
        "/externalmappings/externalid/{system}/{externalTable}/{externalId}",
        of_external,
        "List which entities an external id stands for",
    ),
)

ROUTES = (
    *(
        Route(
            method="GET",
            path=path,
            run=run,
            summary=summary,
            tag=_TAG,
            scope="config:retrieve",
            reply=Paged(Envelope(ExternalMapping)),
            query=PAGING,
        )
        for path, run, summary in _LOOKUPS
    ),
    *CRUD.routes(),
)
