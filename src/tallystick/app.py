"""The wiring: settings in, an `App` (a frozen bundle of ports) out. The only module that names a concrete store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from queue import SimpleQueue

from tallystick.control.emails import SignedLinks
from tallystick.control.mailed_bills import PrintedBills
from tallystick.core.integration import Destination
from tallystick.core.period import Instant
from tallystick.core.public_address import read_allowed
from tallystick.integrations.email import Email, MailServer
from tallystick.integrations.export_stores import ExportStores
from tallystick.integrations.guarded_http import GuardedHttp, Limits
from tallystick.integrations.stripe import StripePerformer
from tallystick.integrations.stripe_news import StripeService
from tallystick.integrations.usage_feeds import OutsideFeeds
from tallystick.integrations.webhook import Webhooks
from tallystick.invoice.pdf import Printer
from tallystick.pipeline.gate import Gate
from tallystick.pipeline.ingest import Claimer, Intake, JournalCutShort, Tail
from tallystick.pipeline.ingest.apart import Apart
from tallystick.pipeline.telling import Telling
from tallystick.pipeline.usage_events import EventIntake
from tallystick.ports import Clock, Journal, Records, UidIndex, UsageStore
from tallystick.ports.audit import Signer
from tallystick.ports.exports import Snapshots, Targets
from tallystick.ports.feeds import Feeds
from tallystick.ports.handover import Performer, Vault
from tallystick.ports.outside import Outside
from tallystick.ports.payments import PaymentService
from tallystick.ports.sources import Sources
from tallystick.ports.webhook import WebhookSender
from tallystick.settings import Settings
from tallystick.stores.audit_key import KeyFileSigner
from tallystick.stores.journal_file import FileJournal
from tallystick.stores.key_file import random_key, signing_key
from tallystick.stores.records_sql import open_records
from tallystick.stores.running_usage import RunningUsage
from tallystick.stores.sources import LocalSources
from tallystick.stores.uid_index import SortedUidIndex
from tallystick.stores.usage_clickhouse import ClickHouseUsage
from tallystick.stores.vault import KeyFileVault

log = logging.getLogger(__name__)


class SystemClock:
    """The machine's clock."""

    def now(self) -> Instant:
        return Instant.of(datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class JobToRun:
    """A bill job that the worker shall run."""

    organization_id: str
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that requests and the worker use. `performers` hand over to outside services, `payments` asks one what
    was paid; `jobs` is how a request hands a bill job to the worker."""

    settings: Settings
    clock: Clock
    key: bytes
    records: Records
    journal: Journal
    uids: UidIndex
    usage: UsageStore
    claimer: Claimer
    tail: Tail
    intake: Intake
    events: EventIntake
    identity_key: bytes  # what identities are hashed with
    gate: Gate
    printer: Printer
    signer: Signer
    sources: Sources
    vault: Vault
    feeds: Feeds
    outside: Outside
    webhooks: WebhookSender
    payments: PaymentService
    performers: Mapping[Destination, Performer]
    snapshots: Snapshots
    targets: Targets
    jobs: SimpleQueue[JobToRun] = field(default_factory=SimpleQueue)

    def close(self) -> None:
        """Commit what is waiting for the journal, then close every store."""
        self.outside.close()
        self.gate.close()
        self.printer.close()
        self.intake.close()
        self.claimer.close()
        self.usage.close()
        self.uids.close()
        self.journal.close()
        self.records.close()


def _way_out(settings: Settings) -> GuardedHttp:
    try:
        allowed = read_allowed(settings.outgoing_allow)
    except ValueError as error:
        raise ValueError(f"TALLYSTICK_OUTGOING_ALLOW: {error}") from error
    return GuardedHttp(allowed, Limits(seconds=settings.handover_seconds))


def _mail_server(settings: Settings) -> MailServer:
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        sender=settings.smtp_from,
        user=settings.smtp_user,
        password_file=settings.smtp_password_file,
        seconds=settings.handover_seconds,
    )


def _require_whole(journal: Journal, usage: UsageStore) -> None:
    """Refuse to start on a journal that lacks what was projected from it."""
    if usage.mark > journal.last:
        raise JournalCutShort(
            f"the journal ends at position {journal.last}, but the usage store holds what was at {usage.mark}: "
            "measurements are missing; restore the journal from a backup"
        )


def _stripes(settings: Settings, vault: Vault) -> dict[Destination, Performer]:
    performer = StripePerformer(vault, settings.stripe_url, settings.handover_seconds)
    return dict.fromkeys((Destination.STRIPE, Destination.STRIPE_TEST), performer)


def build(settings: Settings, clock: Clock | None = None) -> App:
    """Open the stores of the data directory. The journal goes first: its lock keeps a second server out."""
    outside = _way_out(settings)
    clock = clock or SystemClock()
    directory = settings.directory
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    journal = FileJournal(directory / "journal", segment_bytes=settings.segment_bytes)
    records = open_records(settings.records, Telling())
    uids = SortedUidIndex(directory / "uids", gather=settings.gathered_uids)
    usage = RunningUsage(ClickHouseUsage(directory / "usage"))
    tail = Tail()
    claimer = Claimer(journal, uids, tail, max_waiting=settings.waiting_measurements)
    claimer.start()
    _require_whole(journal, usage)
    identity_key = random_key(directory, "identities.key")
    apart = [Apart() for _ in range(settings.sorters)]
    intake = Intake(records, claimer, clock, identity_key=identity_key, apart=apart)
    log.info("journal at %d, uid index at %d, usage at %d", journal.last, uids.mark, usage.mark)
    vault = KeyFileVault(directory)
    webhooks = Webhooks(vault, outside, settings.webhook_failure_days)
    sources = LocalSources(directory / "uploads", settings.source_folder, settings.databases)
    printer, key = Printer(settings.invoices), signing_key(directory)
    email = Email(_mail_server(settings), PrintedBills(records, printer), SignedLinks(key, settings.public_url))
    return App(
        settings=settings,
        clock=clock,
        key=key,
        records=records,
        journal=journal,
        uids=uids,
        usage=usage,
        claimer=claimer,
        tail=tail,
        intake=intake,
        events=EventIntake(records, intake),
        identity_key=identity_key,
        gate=Gate(clock, Decimal(settings.entitlement_millis) / 1_000, lambda: journal.last),
        printer=printer,
        signer=KeyFileSigner(directory),
        sources=sources,
        feeds=OutsideFeeds(settings.hosts_of_sources, sources.folder),
        vault=vault,
        outside=outside,
        webhooks=webhooks,
        snapshots=records,
        targets=ExportStores(vault=vault, outside=outside, directory=settings.export_folder),
        payments=StripeService(vault, settings.stripe_url, settings.handover_seconds),
        performers={Destination.WEBHOOK: webhooks, Destination.EMAIL: email, **_stripes(settings, vault)},
    )
