"""What services use to be metered: the emitter. Nothing of the server is imported, and nothing that is slow to."""

from tallystick.client.async_emitter import AsyncEmitter
from tallystick.client.emitter import Emitter, Full
from tallystick.client.sending import Rejected
from tallystick.client.settings import EmitterSettings
from tallystick.client.waiting import Stats

__all__ = ["AsyncEmitter", "Emitter", "EmitterSettings", "Full", "Rejected", "Stats"]
