"""Senders: each writes down what it is about to send, synced, then sends it again and again until it is answered.

The intent log is the only truth that the oracle has. One JSON line for each batch before it is sent, and one for its
answer. Nothing is imported from the product here.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RETRY_SECONDS = 0.01
TIMEOUT_SECONDS = 30
MODELS = ("small", "large", "größer", 'with "quotes"')
SOME_BEFORE = 50  # how many accepted members are remembered, to be sent again


@dataclass(frozen=True)
class Address:
    """Where measurements are sent to."""

    host: str
    port: int
    path: str
    token: str


@dataclass(frozen=True)
class Pace:
    """How much is sent: members of a batch, and seconds between two batches."""

    least: int = 1
    most: int = 60
    pause: float = 0.01


class Sender(threading.Thread):
    """Sends until `finish`; then only what is not answered yet, and ends."""

    def __init__(self, name: str, address: Address, log: Path, accounts: int, pace: Pace) -> None:
        super().__init__(name=name, daemon=True)
        self.acknowledged = 0  # members that were answered as accepted, or as repeated after an unknown answer
        self.failures = 0  # requests without an answer
        self.unknown = 0  # batches that were sent again after no answer
        self._address = address
        self._log = log.open("ab")
        self._accounts = accounts
        self._pace = pace
        self._chance = random.Random(name)
        self._finishing = threading.Event()
        self._giving_up = False
        self._going = threading.Event()
        self._going.set()
        self._idle = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._sent: list[dict[str, Any]] = []  # some members that were accepted
        self._number = 0

    def finish(self) -> None:
        """Send nothing new from now on."""
        self._finishing.set()

    def pause(self) -> None:
        """Return once all that was sent is answered; nothing is sent until `go_on`."""
        self._going.clear()
        assert self._idle.wait(TIMEOUT_SECONDS), f"{self.name} got no answer"

    def go_on(self) -> None:
        """Send again."""
        self._idle.clear()
        self._going.set()

    def give_up(self) -> None:
        """End without an answer: the server will not come back."""
        self._giving_up = True
        self._finishing.set()
        self.join()

    def run(self) -> None:
        batch = 0
        while not self._finishing.is_set():
            if not self._going.is_set():
                self._idle.set()
                self._going.wait()
            batch += 1
            members = self._batch()
            self._write({"batch": batch, "members": members}, sync=True)
            tries = self._until_answered(batch, [each["sent"] for each in members])
            fresh = [each["sent"] for each in members if each["as"] == "new"]
            self.acknowledged += len(fresh)
            self.unknown += tries > 1
            self._sent = (self._sent + fresh)[-SOME_BEFORE:]
            time.sleep(self._pace.pause * self._chance.random())
        self._log.close()

    def _until_answered(self, batch: int, members: list[dict[str, Any]]) -> int:
        body = _body(members)
        tries = 0
        while not self._giving_up:
            tries += 1
            try:
                status, answer = self._post(body)
            except (OSError, http.client.HTTPException):
                self._connection = None
                self.failures += 1
                time.sleep(RETRY_SECONDS)
                continue
            if status in {429, 503}:
                time.sleep(RETRY_SECONDS)
                continue
            verdicts = [each["verdict"] for each in answer["measurements"]] if status == 200 else [str(answer)]
            self._write({"batch": batch, "tries": tries, "status": status, "verdicts": verdicts}, sync=False)
            break
        return tries

    def _post(self, body: bytes) -> tuple[int, Any]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                self._address.host, self._address.port, timeout=TIMEOUT_SECONDS
            )
        headers = {"authorization": f"Bearer {self._address.token}", "content-type": "application/json"}
        self._connection.request("POST", self._address.path, body, headers)
        reply = self._connection.getresponse()
        return reply.status, json.loads(reply.read())

    def _write(self, line: dict[str, Any], *, sync: bool) -> None:
        self._log.write(json.dumps(line).encode() + b"\n")
        self._log.flush()
        if sync:
            os.fsync(self._log.fileno())

    def _batch(self) -> list[dict[str, Any]]:
        """New members, and now and then one that was sent before: the same, or with other content."""
        chance = self._chance
        members = [
            {"as": "new", "sent": self._member()} for _ in range(chance.randint(self._pace.least, self._pace.most))
        ]
        if chance.random() < 0.2:  # within the batch
            members.append({"as": "duplicate", "sent": chance.choice(members)["sent"]})
        if self._sent and chance.random() < 0.2:
            members.append({"as": "duplicate", "sent": chance.choice(self._sent)})
        if self._sent and chance.random() < 0.2:
            members.append({"as": "conflict", "sent": {**chance.choice(self._sent), "calls": "0"}})
        return members

    def _member(self) -> dict[str, Any]:
        """Uid, account, ts, and numbers as they are written: `calls` is billed, `tokens` has decimals."""
        chance = self._chance
        self._number += 1
        month = chance.choice((4, 5, 5, 5, 5, 6))
        return {
            "uid": f"{self.name}-{self._number}",
            "account": f"account-{chance.randrange(self._accounts):03d}",
            "ts": f"2025-{month:02d}-{chance.randint(1, 30):02d}T{chance.randrange(24):02d}:{chance.randrange(60):02d}"
            f":{chance.randrange(60):02d}.{chance.randrange(1_000_000):06d}Z",
            "calls": str(chance.randint(1, 1_000)),
            "tokens": f"{chance.randrange(10**9)}.{chance.randrange(10**6):06d}",
            "model": chance.choice(MODELS),
            "note": f"n{self._number}" if chance.random() < 0.05 else "",
        }


def _body(members: list[dict[str, Any]]) -> bytes:
    """The request, its numbers exactly as they are in the log."""
    texts = []
    for each in members:
        other = f',"other":{{"note":{json.dumps(each["note"])}}}' if each["note"] else ""
        texts.append(
            f'{{"uid":"{each["uid"]}","meter":"llm","account":"{each["account"]}","ts":"{each["ts"]}",'
            f'"what":{{"model":{json.dumps(each["model"])}}},'
            f'"measure":{{"calls":{each["calls"]},"tokens":{each["tokens"]}}}{other}}}'
        )
    return ('{"measurements":[' + ",".join(texts) + "]}").encode()
