"""The chores of the worker: `every_chore()` is the list of them."""

from __future__ import annotations

from tallystick.chores.accounting import EXPIRED, JOURNAL
from tallystick.chores.alerts import spend_alerts
from tallystick.chores.anomalies import anomalies
from tallystick.chores.asked_for import CORRECTIONS, REPLAYS, SIMULATIONS, STATEMENTS
from tallystick.chores.by_clock import CLOCK, TOP_UPS
from tallystick.chores.chore import Chore
from tallystick.chores.events import OLD_EVENTS, scheduled_events
from tallystick.chores.exports import exports
from tallystick.chores.feeding import feeding
from tallystick.chores.files import measurement_files_chore
from tallystick.chores.handing_over import handing_over
from tallystick.chores.history import HISTORY
from tallystick.chores.identities import IDENTITIES
from tallystick.chores.limits import limits
from tallystick.chores.payments import PAYMENTS
from tallystick.chores.proofs import SEALS, VERIFICATIONS
from tallystick.chores.reconciling import reconciliations
from tallystick.chores.rollouts import ASSIGNMENTS, SHADOWS
from tallystick.chores.webhooks import DELIVERIES


def every_chore() -> tuple[Chore, ...]:
    """All chores of one worker; each gets a thread of its own there."""
    return (
        CLOCK,
        TOP_UPS,
        STATEMENTS,
        PAYMENTS,
        REPLAYS,
        IDENTITIES,
        SIMULATIONS,
        CORRECTIONS,
        SHADOWS,
        ASSIGNMENTS,
        spend_alerts(),
        anomalies(),
        limits(),
        reconciliations(),
        exports(),
        measurement_files_chore(),
        feeding(),
        SEALS,
        JOURNAL,
        EXPIRED,
        VERIFICATIONS,
        handing_over(),
        scheduled_events(),
        OLD_EVENTS,
        DELIVERIES,
        HISTORY,
    )
