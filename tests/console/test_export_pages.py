"""Exports in the console: asked for by a form and fetched by a link, schedules and destinations made and deleted."""

from __future__ import annotations

import gzip
import re
import time

import pytest
from visitor import Visitor, signed_in

from tallystick.cli.launch import Server
from tallystick.core.user import Role
from tenant import new_tenant


@pytest.fixture(scope="module")
def admin(server: Server) -> Visitor:
    return signed_in(new_tenant(server), Role.ADMIN)


def test_an_export_is_asked_for_and_fetched(admin: Visitor) -> None:
    assert "No exports yet" in admin.get("/exports")
    asked = {"sourceType": "OPERATIONAL", "operationalDataTypes": ["ACCOUNTS"], "exportFileFormat": "CSV"}
    page = admin.post("/exports", asked)
    assert "is being made" in page
    until = time.monotonic() + 30
    while not (link := re.search(r'href="(/organizations/[^"]+/dataexports/download[^"]+)"', page)):
        assert time.monotonic() < until, page
        time.sleep(0.1)
        page = admin.get("/exports")
    reply = admin.http.get(link[1].replace("&amp;", "&"))
    assert gzip.decompress(reply.content).decode().startswith("id,version,name,code,")
    assert 'filename="' in reply.headers["content-disposition"]


def test_what_a_form_refuses_is_said_beside_the_field(admin: Visitor) -> None:
    admin.get("/exports")
    page = admin.post("/exports", {"sourceType": "USAGE", "exportFileFormat": "CSV", "startDate": "2025-01-01"}, 422)
    assert "endDate: must be given" in page
    page = admin.post("/exports", {"sourceType": "OPERATIONAL", "exportFileFormat": "CSV"}, 422)
    assert "operationalDataTypes" in page
    admin.get("/exports/schedules")
    page = admin.post("/exports/schedules", {"sourceType": "USAGE", "cronExpression": "* * * * *"}, 422)
    assert "timePeriod" in page
    usage = {"sourceType": "USAGE", "timePeriod": "YESTERDAY"}
    page = admin.post("/exports/schedules", {**usage, "cronExpression": "* * * * *"}, 422)
    assert "at most every 15 minutes" in page
    admin.get("/exports/destinations")
    page = admin.post("/exports/destinations", {"destinationType": "S3", "bucketName": "acme-exports"}, 422)
    assert "iamRoleArn: must be given" in page


def test_schedules_and_destinations_are_made_and_deleted(admin: Visitor) -> None:
    admin.get("/exports/destinations")
    secret = {"accessKeyId": "AK", "secretAccessKey": "very secret"}
    page = admin.post("/exports/destinations", {"destinationType": "S3", "bucketName": "acme-exports", **secret})
    assert "s3://acme-exports" in page
    assert "very secret" not in page
    destination = re.search(r"/exports/destinations/([0-9a-f-]{36})/delete", page)
    assert destination is not None
    page = admin.get("/exports/schedules")
    choice = re.search(r'name="destinationIds" value="([^"]+)"', page)
    assert choice is not None
    assert choice[1] == destination[1]
    fields = {"sourceType": "USAGE", "timePeriod": "PREVIOUS_MONTH", "scheduleType": "DAY", "offset": "6"}
    page = admin.post("/exports/schedules", {**fields, "destinationIds": [choice[1]], "exportFileFormat": "PARQUET"})
    assert "Usage previous month" in page
    assert " ".join(page.split()).count("every day, 6 hours in") == 1
    schedule = re.search(r"/exports/schedules/([0-9a-f-]{36})/delete", page)
    assert schedule is not None
    assert "is used by export schedule" in admin.post(f"/exports/destinations/{choice[1]}/delete", status=400)
    admin.get("/exports/schedules")
    assert "No schedules yet" in admin.post(f"/exports/schedules/{schedule[1]}/delete")
    assert "No destinations yet" in admin.post(f"/exports/destinations/{choice[1]}/delete")
