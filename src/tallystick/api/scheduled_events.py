"""Scheduled events over HTTP (source: reference 2.12)."""

from __future__ import annotations

from tallystick.api.crud import Crud
from tallystick.control.scheduled_events import SCHEDULED_EVENTS

ROUTES = Crud(noun=SCHEDULED_EVENTS, path="/scheduledevents/configurations", tag="Notifications").routes()
