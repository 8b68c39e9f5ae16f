"""A mail server on this machine that keeps what it is given, and refuses whom it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller

from tallystick.cli.launch import free_port


@dataclass
class Mailbox:
    """What came, as (recipient, message), and what to answer to some recipients."""

    came: list[tuple[str, EmailMessage]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    port: int = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802  # aiosmtpd's name
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.came += [(each, message) for each in envelope.rcpt_tos]
        return "250 OK"

    def to(self) -> list[str]:
        return [each for each, _ in self.came]


@contextmanager
def mail_server(port: int = 0, box: Mailbox | None = None) -> Iterator[Mailbox]:
    """A mail server until the end of the block, on a port of one's own choice where that is given."""
    box = box or Mailbox()
    box.port = port or free_port()
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
