"""Ingest: measurements come in, each gets a verdict, and what was accepted is on disk before the answer."""

from tallystick.pipeline.ingest.claim import Claimer, JournalCutShort, Outcome, recover
from tallystick.pipeline.ingest.intake import HasIntake, Intake, ingest
from tallystick.pipeline.ingest.splitting import MAX_BYTES, MAX_MEASUREMENTS
from tallystick.pipeline.ingest.tail import Tail
from tallystick.pipeline.ingest.verdicts import Reply, Verdict

__all__ = [
    "MAX_BYTES",
    "MAX_MEASUREMENTS",
    "Claimer",
    "HasIntake",
    "Intake",
    "JournalCutShort",
    "Outcome",
    "Reply",
    "Tail",
    "Verdict",
    "ingest",
    "recover",
]
