"""An organisation that fetches usage from sources, on a real server: its meter, its sources, what was counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from storefront import read, send

from tallystick.cli.launch import Server
from tenant import Tenant, new_tenant

FIELDS = [{"category": "MEASURE", "code": "tokens", "name": "Tokens", "unit": "{token}"}]
DAY = "2025-03-01T12:00:00Z"
ROWS = {"type": "ROWS", "meter": "llm", "columns": {"ts": "at", "account": "who", "measure.tokens": "tokens"}}
PATIENCE = 40  # seconds


def member(uid: str | None, tokens: object, **more: object) -> dict[str, object]:
    """A measurement as a request has it."""
    named = {} if uid is None else {"uid": uid}
    return {**named, "meter": "llm", "account": "acorn", "ts": DAY, "measure": {"tokens": tokens}, **more}


class House:
    """One organisation. `folder` is its folder of sources."""

    def __init__(self, tenant: Tenant, http: httpx.Client, folder: Path) -> None:
        self.tenant, self.http, self.folder = tenant, http, folder / tenant.id
        self.folder.mkdir(parents=True, exist_ok=True)

    def begin(self) -> House:
        body = {"name": "LLM", "code": "llm", "dataFields": FIELDS, "derivedFields": []}
        self.meter = read(send(self.http, "POST", "/meters", body))["id"]
        return self

    def source(
        self, configuration: Mapping[str, object], credentials: Mapping[str, str] | None = None, **more: Any
    ) -> str:
        """A new source; its id."""
        code = more.pop("code", str(configuration["type"]).lower())
        body = {"name": code, "code": code, "configuration": configuration, **more}
        made: str = read(send(self.http, "POST", "/usagesources", body))["id"]
        if credentials is not None:
            read(send(self.http, "PUT", f"/usagesources/{made}/credentials", credentials))
        return made

    def state(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = read(self.http.get(f"/usagesources/{id}/state"))
        return found

    def until(self, id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """How the source stands once something holds of it."""
        until = time.monotonic() + PATIENCE
        while not holds(state := self.state(id)):
            assert time.monotonic() < until, state
            time.sleep(0.05)
        return state

    def received(self, id: str, count: int) -> dict[str, Any]:
        return self.until(id, lambda state: state["received"] >= count)

    def files(self, id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = read(self.http.get(f"/usagesources/{id}/files"))["data"]
        return found

    def tokens(self, expected: int) -> int:
        """The sum of all tokens, once the projection has come as far as it must."""
        asked = {
            "startDate": "2025-01-01T00:00:00Z",
            "endDate": "2027-01-01T00:00:00Z",
            "aggregations": [{"meterId": self.meter, "fieldCode": "tokens", "fieldType": "MEASURE", "function": "SUM"}],
        }
        found = 0
        for _ in range(100):
            rows = read(self.http.post("/usage/query", json=asked))["data"]
            found = int(rows[0]["tokens.SUM"]) if rows else 0
            if found == expected:
                break
            time.sleep(0.05)
        return found

    def failed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = read(self.http.get("/failedmeasurements"))["data"]
        return found

    def told(self, name: str) -> list[dict[str, Any]]:
        """What events of a name say."""
        rows = read(self.http.get("/events", params={"eventName": name}))["data"]
        return [each["m3terEvent"] for each in rows]


@contextmanager
def house_on(server: Server, folder: Path) -> Iterator[House]:
    """A new organisation on a server."""
    tenant = new_tenant(server)
    with tenant.http() as http:
        yield House(tenant, http, folder).begin()


@contextmanager
def house_again(house: House, server: Server, folder: Path) -> Iterator[House]:
    """The same organisation on a server that was started again."""
    tenant = Tenant(
        url=server.url, data=server.directory, id=house.tenant.id, key=house.tenant.key, secret=house.tenant.secret
    )
    with tenant.http() as http:
        again = House(tenant, http, folder)
        again.meter = house.meter
        yield again
