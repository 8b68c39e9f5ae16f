"""The receiver of docs/guides/webhooks.md, run as it stands there against what is really sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from receivers import answering, receiving
from sending_world import SECRET, SendingWorld, parts
from standardwebhooks import WebhookVerificationError

from tallystick.core.period import Instant
from tallystick.core.webhook import API_KEY_HEADER

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "webhooks.md"
TEXT = GUIDE.read_text(encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SendingWorld]:
    world = SendingWorld(tmp_path)
    yield world
    world.outside.close()
    world.store.close()


def test_the_receiver_takes_each_event_once_and_no_other(world: SendingWorld) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    receiver_of: dict[str, Any] = {}
    exec(compile(code, "guide", "exec"), receiver_of)  # noqa: S102  # the guide's own lines
    receive = receiver_of["receive"]
    with receiving(answering("200 OK")) as receiver:
        world.webhook(receiver.url())
        world.now = Instant.of(datetime.now(UTC))  # the library looks at the time
        world.bill("jan")
        world.round()
    headers, body = parts(receiver.requests[0])
    seen: dict[str, str] = {}
    assert [receive(SECRET, headers, body, seen) for _ in range(2)] == [204, 204]
    assert list(seen.values()) == ["billing.bill.updated"]
    with pytest.raises(WebhookVerificationError):
        receive(SECRET, headers, body + b" ", seen)
    assert API_KEY_HEADER in TEXT
