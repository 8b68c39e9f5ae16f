"""The first schema: organisations, entities with their versions and references, numbers, documents.

A migration is history: it repeats the tables as they were, whatever `schema.py` says today.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

DOCUMENTS = {
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
    "billslot": ("job_id",),
    "billadjustment": ("account_id", "bill_id", "adjusted_bill_id"),
    "emptybill": ("account_id", "billing_frequency", "end_date"),
    "invoicenumber": (),
    "billrevisit": ("awaits",),
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
    "billseal": ("active",),
    "verificationjob": ("active",),
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
    "exportjob": ("status", "active", "schedule_id", "created", "kept"),
    "exportpart": ("job_id",),
    "usagesourcestate": (),
    "usagesourcesecret": (),
    "sourcefile": ("source_id", "status"),
    "shadowbill": ("shadow_plan_id", "bill_id", "account_id", "outcome", "mark"),
    "planmove": ("moved_by", "account_id", "failed"),
    "assignment": ("experiment_id", "account_id", "variant"),
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
# Keys that are read with many documents at once and that no list is searched by.
CARRIED = {("bill", "currency"), ("bill", "total")}


def upgrade() -> None:
    _organizations()
    _entities()
    _references()
    for kind, keys in DOCUMENTS.items():
        _documents(kind, keys)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=nullable)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, INTEGER, nullable=False)


def _of_organization() -> sa.Column[str]:
    return sa.Column("organization_id", TEXT, sa.ForeignKey("organization.id"), nullable=False)


def _organizations() -> None:
    op.create_table(
        "organization", sa.Column("id", TEXT, primary_key=True), _text("name"), _text("created"), sqlite_strict=True
    )
    op.create_table(
        "service_user",
        sa.Column("id", TEXT, primary_key=True),
        _of_organization(),
        *(_text(name) for name in ("name", "access_key", "secret_digest", "scopes", "created")),
        _text("revoked", nullable=True),
        sqlite_strict=True,
    )
    op.create_index("service_user_by_access_key", "service_user", ["access_key"], unique=True)
    op.create_index("service_user_by_organization", "service_user", ["organization_id", "created"])
    op.create_table(
        "credential",
        *(_text(name) for name in ("purpose", "id")),
        _of_organization(),
        *(_text(name) for name in ("user_id", "secret", "created")),
        *(_text(name, nullable=True) for name in ("used", "expires")),
        sa.PrimaryKeyConstraint("purpose", "id"),
        sqlite_strict=True,
    )
    op.create_index("credential_by_user", "credential", ["organization_id", "user_id"])
    op.create_index("credential_by_expiry", "credential", ["organization_id", "expires"])
    op.create_table(
        "audit_entry",
        _of_organization(),
        _integer("number"),
        *(_text(name) for name in ("at", "actor_id", "actor_kind", "request_id", "action", "kind", "id")),
        sa.Column("version", INTEGER),
        _integer("count"),
        *(_text(name) for name in ("change", "content", "digest")),
        sa.PrimaryKeyConstraint("organization_id", "number"),
        sqlite_strict=True,
    )
    for name, column in (("id", "id"), ("actor", "actor_id"), ("kind", "kind"), ("time", "at")):
        op.create_index(f"audit_entry_by_{name}", "audit_entry", ["organization_id", column, "number"])
    op.create_table(
        "sequence_number",
        _of_organization(),
        _text("name"),
        _integer("last"),
        sa.PrimaryKeyConstraint("organization_id", "name"),
        sqlite_strict=True,
    )


def _entities() -> None:
    written = ("body", "created", "created_by", "modified", "modified_by")
    op.create_table(
        "entity",
        sa.Column("sequence", INTEGER, primary_key=True, autoincrement=True),
        _of_organization(),
        _text("kind"),
        _text("id"),
        _text("code", nullable=True),
        _integer("version"),
        _text("starts_at", nullable=True),
        _text("ends_at", nullable=True),
        *(_text(name) for name in written),
        sa.UniqueConstraint("organization_id", "kind", "id", name="entity_by_id"),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index("entity_by_code", "entity", ["organization_id", "kind", "code"], unique=True)
    op.create_index("entity_by_sequence", "entity", ["organization_id", "kind", "sequence"])
    op.create_table(
        "entity_version",
        _of_organization(),
        _text("kind"),
        _text("id"),
        _integer("version"),
        _integer("removed"),
        *(_text(name) for name in written),
        sa.PrimaryKeyConstraint("organization_id", "kind", "id", "version"),
        sqlite_strict=True,
    )


def _references() -> None:
    op.create_table(
        "entity_reference",
        _text("organization_id"),
        _text("kind"),
        _text("name"),
        _text("target"),
        sa.Column("sequence", INTEGER, sa.ForeignKey("entity.sequence"), nullable=False),
        _integer("refers"),
        sa.PrimaryKeyConstraint("organization_id", "kind", "name", "target", "sequence"),
        sqlite_strict=True,
    )
    op.create_index(
        "entity_reference_by_target", "entity_reference", ["organization_id", "target", "refers", "sequence"]
    )
    op.create_index("entity_reference_by_entity", "entity_reference", ["sequence"])


def _documents(kind: str, keys: tuple[str, ...]) -> None:
    op.create_table(
        kind,
        sa.Column("sequence", INTEGER, primary_key=True, autoincrement=True),
        _of_organization(),
        _text("id"),
        _text("sort"),
        *(_text(key, nullable=True) for key in keys),
        _text("body"),
        sa.UniqueConstraint("organization_id", "id", name=f"{kind}_by_id"),
        sqlite_strict=True,
    )
    op.create_index(f"{kind}_by_sort", kind, ["organization_id", "sort", "sequence"])
    for key in keys:
        if key == "period_key":
            op.create_index(f"{kind}_by_{key}", kind, ["organization_id", key], unique=True)
        elif (kind, key) not in CARRIED:
            op.create_index(f"{kind}_by_{key}", kind, ["organization_id", key, "sort", "sequence"])
