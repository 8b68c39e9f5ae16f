"""The spine: projects the journal and runs bill jobs, each in a thread of its own, until it is stopped.

Both resume by themselves: the projection from the usage store's mark, a job from what it has stored.
"""

from __future__ import annotations

import logging
import threading

from tallystick.app import App

log = logging.getLogger(__name__)


class Worker:
    def __init__(self, app: App) -> None:
        self._app = app

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass
