"""The process that sorts out large requests; see `apart.py`, which starts it with the memory that both have mapped."""

from __future__ import annotations

import mmap
import os
import uuid

import msgspec

from tallystick import beside
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import uniform
from tallystick.pipeline.ingest.apart import READY, SLOT_BYTES, Answer, Ask, Learn
from tallystick.pipeline.ingest.columns import Form, Forms
from tallystick.pipeline.ingest.identities import MARK
from tallystick.pipeline.ingest.known import MOST_REFUSED, Known
from tallystick.pipeline.ingest.sheets import Head, lay_out
from tallystick.pipeline.ingest.sorting import Sorter
from tallystick.pipeline.ingest.splitting import split
from tallystick.pipeline.ingest.uniform import Uniform

NICE = 5  # what was accepted is to be written and projected before more is read


class Desk:
    """What is known of organisations, and the work."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._known: dict[str, Known] = {}
        self._uniform: dict[str, Uniform] = {}

    def learn(self, said: Learn) -> None:
        """Take what an organisation's requests are held against from here on."""
        forms = Forms([Form(code, schema) for code, schema in said.schemas.items()])
        known = Known(revision=0, config=said.config, schemas=dict(said.schemas), forms=forms)
        self._known[said.organization_id] = known
        self._uniform[said.organization_id] = Uniform(known)

    def sort_out(self, ask: Ask) -> Head | None:
        """Put the sheet of a request into its slot; None for what the other side has to look at by itself."""
        known = self._known[ask.organization_id]
        if len(known.refused) > MOST_REFUSED:
            known.refused.clear()
        known.accounts.update(ask.accounts)
        known.refused.update(ask.refused)
        slot = self._memory[ask.slot * SLOT_BYTES :][:SLOT_BYTES]
        body = bytes(slot[: ask.size])
        organization_id = ask.organization_id
        batch = uniform.sort_out(organization_id, self._uniform[organization_id], ask.received, body)
        if batch is None:
            if MARK in body:
                return None  # an identity may be named, which is looked up in the records
            try:
                members = split(body)
            except Refusal:
                return None
            batch = Sorter(organization_id, known, ask.received, _new_id).sort_out(members)
        return lay_out(batch, slot)


def main() -> None:
    """Answer until nobody asks any more."""
    os.nice(NICE)
    connection, (memory,) = beside.begin()
    with connection:
        desk = Desk(memoryview(mmap.mmap(memory, 0)))
        connection.send_bytes(READY)
        while True:
            try:
                said = connection.recv()
            except EOFError:
                return
            if isinstance(said, Learn):
                desk.learn(said)
            else:
                connection.send_bytes(_ANSWER.encode(Answer(said.job, desk.sort_out(said))))


def _new_id() -> str:
    return str(uuid.uuid4())


_ANSWER = msgspec.msgpack.Encoder()


if __name__ == "__main__":
    main()
