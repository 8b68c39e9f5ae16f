"""An organisation whose events really go to webhooks, on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from handing_world import HandingWorld

from tallystick.control.desk import Desk
from tallystick.control.webhooks import Means, WebhookDraft, create_webhook
from tallystick.core.period import Instant
from tallystick.core.public_address import read_allowed
from tallystick.core.webhook import Delivery
from tallystick.integrations.guarded_http import GuardedHttp, Limits
from tallystick.integrations.webhook import Webhooks
from tallystick.outbox import EVENT
from tallystick.pipeline.webhook_replay import replay_since
from tallystick.ports import Actor, DocumentWhere, Page
from tallystick.ports.webhook import DELIVERY, read_delivery
from tallystick.stores.vault import KeyFileVault

ADA = Actor(id="ada", kind="SERVICE_USER")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class SendingWorld(HandingWorld):
    """An organisation that hands over to webhooks, really."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.vault = KeyFileVault(directory)
        self.outside = GuardedHttp(read_allowed("127.0.0.1"), Limits(seconds=0.3))
        self.receiver = Webhooks(self.vault, self.outside, failure_days=2)  # type: ignore[assignment]  # in its place

    def desk(self) -> Desk:
        return Desk(records=self.records, actor=ADA, now=self.now)

    def webhook(self, url: str, *names: str) -> str:
        """A webhook that is sent all that happens to bills, or the events of these names."""
        draft = WebhookDraft(name="ledger", url=url, secret=SECRET, api_key="key-17")
        id_ = create_webhook(self.desk(), Means(self.vault, self.outside), draft).webhook.id
        of = {"entity_type": "Event", "config_data": {"eventNames": list(names)}} if names else {"entity_type": "Bill"}
        self.integration(f"to {id_}", destination_id=id_, **of)  # type: ignore[arg-type]  # fields by name
        return id_

    def deliveries(self) -> list[Delivery]:
        """The attempts, the first one first."""
        found = self.records.documents(DELIVERY, DocumentWhere(), Page(size=100, oldest_first=True)).rows
        return [read_delivery(each) for each in found]

    def outcomes(self) -> list[str]:
        return [each.outcome.value for each in self.deliveries()]

    def told(self) -> list[dict[str, Any]]:
        """What events say of webhooks that were switched off."""
        where = DocumentWhere(equal={"event_name": ("webhook.disabled",)})
        return [json.loads(each.body)["m3terEvent"] for each in self.records.documents(EVENT, where, Page()).rows]

    def since(self, webhook_id: str, moment: Instant, *, failed_only: bool = False) -> tuple[int, int]:
        done = replay_since(self.records, webhook_id, (moment, None), failed_only=failed_only, actor=ADA, now=self.now)
        return done.replayed, done.under_way


def parts(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body
