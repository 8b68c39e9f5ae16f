"""Ingest: measurements come in, each gets a verdict, and what was accepted is on disk before the answer."""

from tallystick.pipeline.ingest.claim import Claimer, JournalCutShort, Outcome, recover
from tallystick.pipeline.ingest.intake import HasIntake, Intake, Reply, Verdict, ingest
from tallystick.pipeline.ingest.splitting import MAX_BYTES, MAX_MEASUREMENTS

__all__ = [
    "MAX_BYTES",
    "MAX_MEASUREMENTS",
    "Claimer",
    "HasIntake",
    "Intake",
    "JournalCutShort",
    "Outcome",
    "Reply",
    "Verdict",
    "ingest",
    "recover",
]
