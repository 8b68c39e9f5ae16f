"""The tables, once for both databases. What changes here needs a migration; a test compares the two.

Only TEXT and INTEGER columns: SQLite's STRICT tables want no others. PostgreSQL compares the texts by bytes (COLLATE
"C"), as SQLite does, so that order and equality are the same on both. Instants are texts of fixed width (`texts.py`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_REVISION = "0002"  # the newest file of migrations/versions

# Each kind of document and the keys that it can be looked up by: every key is an indexed column.
# A new kind, or a new key of a kind, needs a line here and a migration.
DOCUMENT_KINDS: dict[str, tuple[str, ...]] = {
    "bill": (
        "account_id",
        "status",
        "locked",
        "billing_frequency",
        "bill_date",
        "external_invoice_date",
        "job_id",
        "start_date",
        "end_date",
        "period_key",
        "invoice_number",
        "end_month",
        "currency",
        "total",
    ),
    "billedcharge": ("bill_id",),
    "billjob": ("status", "active"),
    "billjobchunk": ("job_id", "status"),
    "billseal": ("active",),
    "billslot": ("job_id",),
    "billadjustment": ("account_id", "bill_id", "adjusted_bill_id"),
    "emptybill": ("account_id", "billing_frequency", "end_date"),
    "invoicenumber": (),
    "billrevisit": ("awaits",),
    "exportjob": ("status", "active", "schedule_id", "created", "kept"),
    "exportpart": ("job_id",),
    "event": ("event_name", "event_type", "account_id", "resource_id", "uid"),
    "failedmeasurement": ("status", "code", "meter", "uid", "grouped"),
    "failedgroup": ("code", "meter"),
    "unmappedusage": ("identity", "meter"),
    "unmappedidentity": ("type",),
    "replayjob": ("group_id", "active"),
    "statement": ("bill_id",),
    "statementjob": ("bill_id", "status", "active"),
    "lookupjob": ("revision_id", "type"),
    "portalsession": ("account_id",),
    "spendalertstate": ("account_id",),
    "anomaly": ("kind", "day", "account_id", "meter_id", "aggregation_id"),
    "billhold": ("bill_id", "account_id", "state"),
    "billpayment": ("bill_id", "account_id", "state", "due_date"),
    "paymentmark": (),
    "intaketally": ("day", "meter"),
    "simulation": ("active",),
    "simulationchunk": ("simulation_id",),
    "simulatedbill": ("simulation_id", "outcome"),
    "usagecorrection": ("status", "waits"),
    "correctionentry": ("correction_id", "uid"),
    "correctioneffect": ("correction_id", "account_id"),
    "correctionmemo": ("correction_id", "account_id", "bill_id", "status"),
    "catalogplan": ("status",),
    "catalogversion": (),
    "reconciliationrun": ("reconciliation_id", "status", "active", "level", "start_date", "end_date"),
    "reconciliationgroup": ("run_id", "level", "account_id"),
    "reconciliationfinding": ("run_id", "type", "cause", "account_id"),
    "sourceupload": (),
    "measurementfile": ("status",),
    "usagesourcestate": (),
    "usagesourcesecret": (),
    "sourcefile": ("source_id", "status"),
    "shadowbill": ("shadow_plan_id", "bill_id", "account_id", "outcome", "mark"),
    "planmove": ("moved_by", "account_id", "failed"),
    "assignment": ("experiment_id", "account_id", "variant"),
    "verificationjob": ("active",),
    "outbox": (),
    "scheduledevent": ("config_id",),
    "integrationrun": (
        "status",
        "config_id",
        "destination_id",
        "entity_type",
        "entity_id",
        "event_id",
        "lane",
    ),
    "handoverdue": ("config_id", "lane"),
    "webhookdelivery": ("webhook_id", "run_id", "event_name", "outcome"),
    "webhookfailing": (),
    "emailsent": ("run_id",),
    "ledgerentry": ("credit_id", "bill_id", "account_id", "entity_type", "entity_id", "transaction_type_id"),
    "journalentry": ("source_id", "account_id", "date", "type", "currency", "number"),
    "journalsource": ("active", "type", "account_id"),
    "journaltally": ("month", "role"),
    "credittally": ("credit_id", "account_id"),
}
# Keys that no list is searched by: read with many documents at once, without their bodies. (The period of a bill is
# unique because its id is, which is made of it.)
CARRIED: dict[str, tuple[str, ...]] = {"bill": ("currency", "total", "period_key")}
# Keys of which each value has few documents: what asks for one of them reads by it, whatever else is asked for.
NARROW = frozenset(
    {
        *("id", "account_id", "awaits", "bill_id", "adjusted_bill_id", "credit_id", "run_id"),
        *("event_id", "lane"),
    }
)
# Keys that have few values, each of many documents: read by only where nothing else is asked for.
BROAD = frozenset({"locked", "billing_frequency", "active", "entity_type"})

STRICT: Any = {"sqlite_strict": True}  # Any: its keys are options of a dialect, which Table does not declare
TEXT = Text().with_variant(Text(collation="C"), "postgresql")
INTEGER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

organization = Table(
    "organization",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("created", TEXT, nullable=False),
    **STRICT,
)

service_user = Table(
    "service_user",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("organization_id", TEXT, ForeignKey("organization.id"), nullable=False),
    Column("name", TEXT, nullable=False),
    Column("access_key", TEXT, nullable=False),
    Column("secret_digest", TEXT, nullable=False),
    Column("scopes", TEXT, nullable=False),  # a JSON array of texts
    Column("created", TEXT, nullable=False),
    Column("revoked", TEXT),
    Index("service_user_by_access_key", "access_key", unique=True),
    Index("service_user_by_organization", "organization_id", "created"),
    **STRICT,
)

# What people and links come in with: found by purpose and id, whatever the organisation.
credential = Table(
    "credential",
    metadata,
    Column("purpose", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("organization_id", TEXT, ForeignKey("organization.id"), nullable=False),
    Column("user_id", TEXT, nullable=False),
    Column("secret", TEXT, nullable=False),
    Column("created", TEXT, nullable=False),
    Column("used", TEXT),
    Column("expires", TEXT),
    PrimaryKeyConstraint("purpose", "id"),
    Index("credential_by_user", "organization_id", "user_id"),
    Index("credential_by_expiry", "organization_id", "expires"),
    **STRICT,
)

# The entities as they stand. `sequence` rises with creation: it gives lists their order and pages their place.
entity = Table(
    "entity",
    metadata,
    Column("sequence", INTEGER, primary_key=True, autoincrement=True),
    Column("organization_id", TEXT, ForeignKey("organization.id"), nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("code", TEXT),
    Column("version", INTEGER, nullable=False),
    Column("starts_at", TEXT),
    Column("ends_at", TEXT),
    Column("body", TEXT, nullable=False),
    Column("created", TEXT, nullable=False),
    Column("created_by", TEXT, nullable=False),
    Column("modified", TEXT, nullable=False),
    Column("modified_by", TEXT, nullable=False),
    UniqueConstraint("organization_id", "kind", "id", name="entity_by_id"),
    Index("entity_by_code", "organization_id", "kind", "code", unique=True),
    Index("entity_by_sequence", "organization_id", "kind", "sequence"),
    **STRICT,
    # A number once given is never given again, even after the newest entity was removed.
    sqlite_autoincrement=True,
)

# Every version of every entity, for ever. The removal of an entity is a version of its own, with `removed` 1.
entity_version = Table(
    "entity_version",
    metadata,
    Column("organization_id", TEXT, ForeignKey("organization.id"), nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("version", INTEGER, nullable=False),
    Column("removed", INTEGER, nullable=False),
    Column("body", TEXT, nullable=False),
    Column("created", TEXT, nullable=False),
    Column("created_by", TEXT, nullable=False),
    Column("modified", TEXT, nullable=False),
    Column("modified_by", TEXT, nullable=False),
    PrimaryKeyConstraint("organization_id", "kind", "id", "version"),
    **STRICT,
)

# What entities can be filtered by: a row per value of each field of `references` (refers = 1) and `filters`.
entity_reference = Table(
    "entity_reference",
    metadata,
    Column("organization_id", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("target", TEXT, nullable=False),
    Column("sequence", INTEGER, ForeignKey("entity.sequence"), nullable=False),
    Column("refers", INTEGER, nullable=False),
    PrimaryKeyConstraint("organization_id", "kind", "name", "target", "sequence"),
    Index("entity_reference_by_target", "organization_id", "target", "refers", "sequence"),
    Index("entity_reference_by_entity", "sequence"),
    **STRICT,
)

# Named numbers without gaps, such as those of invoices: the last one that was given.
sequence_number = Table(
    "sequence_number",
    metadata,
    Column("organization_id", TEXT, ForeignKey("organization.id"), nullable=False),
    Column("name", TEXT, nullable=False),
    Column("last", INTEGER, nullable=False),
    PrimaryKeyConstraint("organization_id", "name"),
    **STRICT,
)


# What bodies of documents have in common (`stencils.py`): a JSON array of texts, known by a digest of it.
stencil = Table(
    "stencil",
    metadata,
    Column("organization_id", TEXT, ForeignKey("organization.id"), nullable=False),
    Column("id", TEXT, nullable=False),
    Column("pieces", TEXT, nullable=False),
    PrimaryKeyConstraint("organization_id", "id"),
    **STRICT,
)

# Who changed what, for ever: rows are added and never touched again.
audit_entry = Table(
    "audit_entry",
    metadata,
    Column("organization_id", TEXT, ForeignKey("organization.id"), nullable=False),
    Column("number", INTEGER, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("actor_id", TEXT, nullable=False),
    Column("actor_kind", TEXT, nullable=False),
    Column("request_id", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("version", INTEGER),
    Column("count", INTEGER, nullable=False),
    Column("change", TEXT, nullable=False),
    Column("content", TEXT, nullable=False),  # the digest of the version of an entity that it tells of
    Column("digest", TEXT, nullable=False),  # of all above and the digest of the entry before
    PrimaryKeyConstraint("organization_id", "number"),
    Index("audit_entry_by_id", "organization_id", "id", "number"),
    Index("audit_entry_by_actor", "organization_id", "actor_id", "number"),
    Index("audit_entry_by_kind", "organization_id", "kind", "number"),
    Index("audit_entry_by_time", "organization_id", "at", "number"),
    **STRICT,
)


def _document_table(kind: str, keys: tuple[str, ...]) -> Table:
    """The table of a kind of document. Each index ends with the order of lists: without it SQLite prefers to walk the
    whole list and filter it. `sequence` rises with each document that is added, so that the bills of a run are added
    at the end of most indexes; ids, which are random, would touch a page of each for every bill."""
    searched = [key for key in keys if key not in CARRIED.get(kind, ())]
    return Table(
        kind,
        metadata,
        Column("sequence", INTEGER, primary_key=True, autoincrement=True),
        Column("organization_id", TEXT, ForeignKey("organization.id"), nullable=False),
        Column("id", TEXT, nullable=False),
        Column("sort", TEXT, nullable=False),
        *(Column(key, TEXT) for key in keys),
        Column("body", TEXT, nullable=False),
        UniqueConstraint("organization_id", "id", name=f"{kind}_by_id"),
        Index(f"{kind}_by_sort", "organization_id", "sort", "sequence"),
        *(Index(f"{kind}_by_{key}", "organization_id", key, "sort", "sequence") for key in searched),
        **STRICT,
    )


DOCUMENT_TABLES = {kind: _document_table(kind, keys) for kind, keys in DOCUMENT_KINDS.items()}
