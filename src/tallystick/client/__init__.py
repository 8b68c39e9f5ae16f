"""What services use to be metered and gated. Nothing of the server is imported, and nothing that is slow to."""

from tallystick.client.asgi import MeteredASGI
from tallystick.client.async_emitter import AsyncEmitter
from tallystick.client.decorator import metered
from tallystick.client.emitter import Emitter, Full
from tallystick.client.guard import Decision, Guard, NotAllowed
from tallystick.client.metering import Served
from tallystick.client.sending import Rejected
from tallystick.client.settings import EmitterSettings
from tallystick.client.waiting import Stats
from tallystick.client.wsgi import MeteredWSGI

__all__ = [
    "AsyncEmitter",
    "Decision",
    "Emitter",
    "EmitterSettings",
    "Full",
    "Guard",
    "MeteredASGI",
    "MeteredWSGI",
    "NotAllowed",
    "Rejected",
    "Served",
    "Stats",
    "metered",
]
