"""Integrations through m3ter's own client, whose types check every answer: configurations, runs, external mappings."""

from __future__ import annotations

import base64
import time
from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError
from storefront import NOWHERE, Storefront, read, refused, send

SECRET = "sk_live_never_shown"


def webhook(client: M3ter) -> str:
    """A webhook that is switched off: nothing is sent."""
    made = client.webhooks.create(
        name="ledger",
        description="",
        url="https://hooks.invalid/",
        active=False,
        credentials={"type": "M3TER_SIGNED_REQUEST", "apiKey": "k", "secret": "s"},
    )
    return str(made.id)


def configure(client: M3ter, **changes: Any) -> Any:
    body: dict[str, Any] = {"destination": "WEBHOOK", "entity_type": "Bill", "name": "To the ERP"}
    if changes.get("destination", "WEBHOOK") == "WEBHOOK" and "destination_id" not in changes:
        body["destination_id"] = webhook(client)
    return client.integration_configurations.create(**{**body, **changes})


def test_a_configuration_lives_through_the_client(client: M3ter, http: httpx.Client) -> None:
    made = configure(client, config_data={"onApproval": True})
    assert (made.entity_type, made.destination, made.enabled, made.authorized) == ("Bill", "WEBHOOK", True, True)
    assert (made.version, made.trigger_type, made.config_data) == (1, "EVENT", {"onApproval": True})
    shown = client.integration_configurations.retrieve(id=made.id)
    assert (shown.id, shown.status, shown.destination, shown.entity_id) == (made.id, "WAITING", "WEBHOOK", "")
    read(http.post(f"/integrationconfigs/{made.id}/disable"))
    changed = client.integration_configurations.update(
        id=made.id, destination="WEBHOOK", destination_id=webhook(client), entity_type="Account", version=2
    )
    assert (changed.version, changed.entity_type, changed.enabled, changed.name) == (3, "Account", False, None)
    assert client.integration_configurations.enable(id=made.id).enabled is True
    assert [each.id for each in client.integration_configurations.list()] == [made.id]
    assert [each.id for each in client.integration_configurations.list(destination_id=NOWHERE)] == []
    assert client.integration_configurations.get_by_entity(entity_type="Account").id == made.id
    with pytest.raises(NotFoundError):
        client.integration_configurations.get_by_entity(entity_type="Bill")
    assert client.integration_configurations.delete(id=made.id).id == made.id
    with pytest.raises(NotFoundError):
        client.integration_configurations.retrieve(id=made.id)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"destination": "NETSUITE"}, "destination"),
        ({"destination": "STRIPE", "entity_type": "Account"}, "entityType: STRIPE takes Bill, not 'Account'"),
        ({"destination_id": None}, "destinationId: must be the id of the webhook to send to"),
        ({"destination_id": NOWHERE}, "destinationId: there is no webhook"),
        ({"destination": "STRIPE", "config_data": {"finalise": True}}, "configData: .*unknown field `finalise`"),
        ({"destination": "STRIPE", "config_data": {"usageAs": "MAGIC"}}, r"configData: .*`configData\.usageAs`"),
        ({"destination": "STRIPE", "config_data": {"usageAs": "METER_EVENTS"}}, r"configData\.meterEvents: name"),
        (
            {"destination": "STRIPE", "config_data": {"usageAs": "METER_EVENTS", "meterEvents": {NOWHERE: "calls"}}},
            r"configData\.meterEvents: there is no aggregation",
        ),
        ({"destination": "EMAIL", "entity_type": "Notification"}, r"configData\.to: names who gets the messages"),
        ({"destination": "EMAIL", "config_data": {"to": ["ops"]}}, r"configData\.to: 'ops' is no address"),
        ({"credentials": {"type": "PASSWORD"}}, "credentials.type: must be one of HTTP_BASIC"),
        ({"integration_credentials_id": NOWHERE}, "integrationCredentialsId: there is no integration configuration"),
    ],
)
def test_what_makes_no_sense_is_refused(client: M3ter, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        configure(client, **changes)


def test_what_is_half_done_can_be_kept_switched_off_but_not_switched_on(client: M3ter, http: httpx.Client) -> None:
    body = {"entityType": "Bill", "destination": "WEBHOOK", "enabled": False}
    id_ = read(send(http, "POST", "/integrationconfigs", body))["id"]
    with pytest.raises(BadRequestError, match="destinationId: must be the id of the webhook to send to"):
        client.integration_configurations.enable(id=id_)


def test_credentials_are_kept_and_never_shown(client: M3ter, http: httpx.Client) -> None:
    secret: Any = {"type": "STRIPE_SIGNED_REQUEST", "name": "live", "apiKey": SECRET}
    bare = configure(client, destination="STRIPE")
    assert bare.authorized is False
    made = configure(client, destination="STRIPE", credentials=secret)
    assert made.authorized is True
    again = client.integration_configurations.update(id=made.id, destination="STRIPE", entity_type="Bill")
    assert again.authorized is True, "an update without credentials keeps them"
    shares = configure(client, destination="STRIPE_TEST", integration_credentials_id=made.id)
    assert shares.authorized is True
    for path in ("/integrationconfigs", f"/integrationconfigs/{made.id}", "/events", "/audit"):
        text = http.get(path).text
        assert SECRET not in text
        assert "v1." not in text, path
    emptied: Any = {"type": "STRIPE_SIGNED_REQUEST", "empty": True}
    none = client.integration_configurations.update(
        id=made.id, destination="STRIPE", entity_type="Bill", credentials=emptied
    )
    assert none.authorized is False


def test_what_there_is_to_hand_over_to_can_be_asked(http: httpx.Client) -> None:
    systems = {each["identifier"]: each for each in http.get("/integrationconfigs/available/systems").json()}
    available = read(http.get("/integrationconfigs/available"))["supportedEntities"]
    for name, system in systems.items():
        auth = http.get(f"/integrationconfigs/available/{name}/auth/Bill").json()
        assert [each["type"] for each in auth] == system["supportedAuthTypes"]
        taken = [each["entityType"] for each in http.get(f"/integrationconfigs/available/{name}/entities").json()]
        assert [each for each in taken if name not in available[each]["systems"]] == []
    refused(http.get("/integrationconfigs/available/NETSUITE/entities"), 404)


def test_what_a_lost_measurement_hands_over_can_be_followed_and_done_again(client: M3ter, http: httpx.Client) -> None:
    config = configure(
        client, destination="EMAIL", entity_type="Notification", config_data={"to": ["ops@acme.example"]}
    )  # wants nothing of this
    wanted = configure(client, entity_type="measurement")
    lost = {"uid": "one", "meter": "nothing", "account": "acme", "ts": "2025-01-10T12:00:00Z", "measure": {"bytes": 1}}
    read(send(http, "POST", "/measurements", {"measurements": [lost]}))
    run = ended(http, wanted.id)
    assert read(http.get("/integrationruns", params={"integrationConfigId": config.id}))["data"] == []
    assert (run["destination"], run["entityType"], run["status"]) == ("WEBHOOK", "measurement", "DISABLED")
    about = f"/integrationruns/measurement/{run['entityId']}"
    assert read(http.get(about))["data"] == [run]
    assert read(http.get(about, params={"startDate": "2090-01-01"}))["data"] == []
    assert read(http.get(about, params={"status": "COMPLETE"}))["data"] == []
    assert read(http.get(f"/integrationruns/measurement/latest/{run['entityId']}")) == run
    assert http.get("/integrationruns/measurement/latest", params={"ids": run["entityId"]}).json() == [run]
    assert read(http.get(f"/integrationruns/{run['id']}")) == run
    assert read(http.get("/integrationruns", params={"eventId": run["eventId"], "order": "ASC"}))["data"] == [run]
    log = base64.b64decode(read(http.get(f"/integrationruns/logs/{run['id']}"))["Payload"]).decode()
    assert "status: DISABLED" in log
    assert client.integration_configurations.retrieve(id=wanted.id).status == "DISABLED"
    failed = [each.event_name for each in client.events.list(event_type="IntegrationEvent", resource_id=run["id"])]
    assert [name.split(".")[0] for name in failed] == ["integration"]
    assert read(http.post(f"/integrationruns/{run['id']}/retry"))["id"] == run["id"]
    again = ended(http, wanted.id)
    assert (again["id"], again["eventId"], again["created"]) == (run["id"], run["eventId"], run["created"])
    refused(http.post(f"/integrationruns/{NOWHERE}/retry"), 404)


def ended(http: httpx.Client, config_id: str) -> dict[str, Any]:
    """The run of a configuration, once it is over."""
    until = time.monotonic() + 30
    while True:
        runs = read(http.get("/integrationruns", params={"integrationConfigId": config_id}))["data"]
        if runs and runs[0].get("dtCompleted"):
            run: dict[str, Any] = runs[0]
            return run
        assert time.monotonic() < until, runs
        time.sleep(0.05)


def test_external_mappings_live_through_the_client(client: M3ter, http: httpx.Client) -> None:
    store = Storefront(http)
    account, mapping = store.ids["/accounts"], store.ids["/externalmappings"]
    known = client.external_mappings.retrieve(id=mapping)
    assert (known.external_id, known.m3ter_id, known.version) == ("cus_1", account, 1)
    by_entity = client.external_mappings.list_by_m3ter_entity(entity="Account", m3ter_id=account)
    assert [each.id for each in by_entity] == [mapping]
    same = {"system": "ERP", "external_table": "Customer"}
    assert [each.id for each in client.external_mappings.list_by_external_entity(external_id="cus_1", **same)] == [
        mapping
    ]
    assert list(client.external_mappings.list_by_external_entity(external_id="cus_2", **same)) == []
    for filters, found in (
        ({"external_system_id": "ERP"}, [mapping]),
        ({"external_system_id": "CRM"}, []),
        ({"m3ter_ids": [account, NOWHERE]}, [mapping]),
        ({"integration_config_id": NOWHERE}, []),
    ):
        assert [each.id for each in client.external_mappings.list(**filters)] == found  # type: ignore[arg-type]  # filters by name, as a table has them
    parent = store.make("/accounts", code="other")["id"]
    body: Any = {"external_system": "ERP", "external_table": "Customer", "m3ter_entity": "Account"}
    with pytest.raises(BadRequestError, match=f"externalId: 'cus_1' is mapped to the Account {account}"):
        client.external_mappings.create(external_id="cus_1", m3ter_id=parent, **body)
    with pytest.raises(BadRequestError, match=f"the mapping {mapping} says the same"):
        client.external_mappings.create(external_id="cus_1", m3ter_id=account, **body)
    moved = client.external_mappings.update(id=mapping, external_id="cus_9", m3ter_id=account, version=1, **body)
    assert (moved.external_id, moved.version) == ("cus_9", 2)
    assert client.external_mappings.create(external_id="cus_1", m3ter_id=parent, **body).m3ter_id == parent
    assert client.external_mappings.delete(id=mapping).id == mapping
