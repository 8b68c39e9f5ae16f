"""Every setting, read once from the environment into one frozen record. `tallystick settings` lists them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

PREFIX = "TALLYSTICK_"
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_SECURITIES = ("starttls", "tls", "none")
_MAILBOX = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")

MEANINGS = {
    "data": "Directory that holds the journal, the usage store, the records and the keys.",
    "host": "Address the server listens on.",
    "port": "Port the server listens on.",
    "public_url": "Address of the server for people, such as https://billing.example; empty: as each request has it.",
    "records_url": "URL of the records, postgresql+psycopg:// or sqlite:///; empty: SQLite in the data directory.",
    "token_seconds": "How long an access token is good for, in seconds.",
    "request_bytes": "Largest body of a request that is no measurement batch, in bytes.",
    "waiting_bytes": "Most memory that requests at hand may take before more are told to retry: 8 times their bodies.",
    "body_seconds": "How long a client may take to send the body of a request, in seconds.",
    "idle_seconds": "How long a connection may be open without a request, or take to send its head, in seconds.",
    "connections": "Most connections that are served at once; more wait to be accepted.",
    "waiting_measurements": "Most measurements that may wait for the journal before new requests are told to retry.",
    "sorters": "Processes beside the server's own that large requests of measurements are sorted out in; 0: none.",
    "gathered_uids": "Claims on uids that are written together; so many are claimed again after a crash.",
    "project_rows": "Most measurements projected into the usage store at once.",
    "segment_bytes": "Size at which the journal starts a new segment file, in bytes.",
    "bill_chunk": "Accounts that a bill job computes and stores in one transaction.",
    "foundry_bills": "Bills from which on a second process helps with a run, given two processors; 0: never.",
    "handover_attempts": "How often a hand-over is attempted before it ends as failed: 10 take about three days.",
    "handover_threads": "Most hand-overs to one kind of destination at once; an organisation gets a quarter.",
    "handover_threads_each": "How many of them one integration may take: a slow target holds up no other.",
    "handover_seconds": "How long one attempt to hand something over may take, in seconds.",
    "event_days": "How long events are kept, in days.",
    "history_days": "How long integration runs and export jobs that are over are kept, in days; 0: for ever.",
    "source_dir": "Directory of files that are read as sources, a folder for each organisation by its id; or empty.",
    "sql_sources": "JSON file, for its owner only, of databases that sources may ask; or empty.",
    "source_hosts": "Hosts that sources of usage may connect to, such as kafka.example:9092,*.store.example; or empty.",
    "export_dir": "Directory that exports may be put into, a folder for each organisation by its id; or empty.",
    "entitlement_millis": "How old an answer on what an account may use can be, in milliseconds.",
    "smtp_host": "Mail server that messages are handed to; empty: none are sent.",
    "smtp_port": "Port of the mail server.",
    "smtp_security": "How the mail server is spoken to: starttls, tls or none.",
    "smtp_user": "User that signs in to the mail server; empty: nobody signs in.",
    "smtp_password_file": "File with that user's password, for its owner only.",
    "smtp_from": "Address that messages come from, such as billing@your.example.",
    "outgoing_allow": "Hosts, addresses and networks beside public ones that users may have things sent to, by commas.",
    "delivery_days": "How long attempts to deliver to webhooks are kept, in days.",
    "webhook_failure_days": "After how many days without any success a webhook is switched off.",
    "stripe_url": "Address that is asked instead of Stripe's own, for tests with a stand-in; or empty.",
    "stripe_poll_seconds": "How often Stripe is asked what became of invoices; 0: never, its webhook tells all.",
    "invoice_dir": "Directory of one's own invoice templates, words and fonts; empty: those of the product.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process; each is the environment variable TALLYSTICK_ with its name in capitals."""

    data: str = "tallystick-data"
    host: str = "127.0.0.1"
    port: int = 8400
    public_url: str = ""
    records_url: str = ""
    token_seconds: int = 18_000
    request_bytes: int = 1_048_576
    waiting_bytes: int = 536_870_912
    body_seconds: int = 30
    idle_seconds: int = 60
    connections: int = 1_024
    waiting_measurements: int = 200_000
    sorters: int = 1
    gathered_uids: int = 50_000
    project_rows: int = 100_000
    segment_bytes: int = 268_435_456
    bill_chunk: int = 2_000
    foundry_bills: int = 20_000
    handover_attempts: int = 10
    handover_threads: int = 64
    handover_threads_each: int = 4
    handover_seconds: int = 15
    event_days: int = 28
    history_days: int = 400
    source_dir: str = ""
    sql_sources: str = ""
    source_hosts: str = ""
    export_dir: str = ""
    entitlement_millis: int = 1_000
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_security: str = "starttls"
    smtp_user: str = ""
    smtp_password_file: str = ""
    smtp_from: str = ""
    outgoing_allow: str = ""
    delivery_days: int = 28
    webhook_failure_days: int = 5
    stripe_url: str = ""
    stripe_poll_seconds: int = 300
    invoice_dir: str = ""

    @property
    def directory(self) -> Path:
        """The data directory as an absolute path."""
        return Path(self.data).absolute()

    @property
    def invoices(self) -> Path | None:
        """The operator's directory of invoice templates, if there is one."""
        return Path(self.invoice_dir).absolute() if self.invoice_dir else None

    @property
    def source_folder(self) -> Path | None:
        """The operator's directory of files that are read as second sources, if there is one."""
        return Path(self.source_dir).absolute() if self.source_dir else None

    @property
    def export_folder(self) -> Path | None:
        """The operator's directory for LOCAL destinations of exports, if there is one."""
        return Path(self.export_dir).absolute() if self.export_dir else None

    @property
    def databases(self) -> Path | None:
        """The operator's file of databases that are read as second sources, if there is one."""
        return Path(self.sql_sources).absolute() if self.sql_sources else None

    @property
    def hosts_of_sources(self) -> tuple[str, ...]:
        """The hosts that sources of usage may connect to."""
        return tuple(each.strip() for each in self.source_hosts.split(",") if each.strip())

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, for a process of one's own."""
        return {PREFIX + each.name.upper(): str(getattr(self, each.name)) for each in fields(self)}

    @property
    def records(self) -> str:
        """The records URL in force."""
        return self.records_url or f"sqlite:///{self.directory / 'records.sqlite'}"


def read_settings(environment: Mapping[str, str] = os.environ, **given: object) -> Settings:
    """The settings that the environment and the command line give; raises ValueError naming a malformed one."""
    values: dict[str, object] = {}
    for each in fields(Settings):
        text = environment.get(PREFIX + each.name.upper())
        if text is not None:
            values[each.name] = _parse(each.name, text, whole_number=each.type == "int")
    values.update({name: value for name, value in given.items() if value is not None})
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in _KNOWN)
    if unknown:
        raise ValueError(f"{unknown[0]}: no such setting; `tallystick settings` lists them")
    return Settings(**values)  # type: ignore[arg-type]  # each value was parsed by its field's type above


def _parse(name: str, text: str, *, whole_number: bool) -> object:
    if name == "public_url" and text and not _ORIGIN.fullmatch(text):
        rule = "must be a scheme and a host in small letters, such as https://billing.example, without a path"
        raise ValueError(f"{PREFIX}PUBLIC_URL: {rule}, got {text!r}")
    if name == "smtp_security" and text not in _SECURITIES:
        raise ValueError(f"{PREFIX}SMTP_SECURITY: must be {', '.join(_SECURITIES)}, got {text!r}")
    if name == "smtp_from" and text and not _MAILBOX.fullmatch(text):
        raise ValueError(f"{PREFIX}SMTP_FROM: must be an address such as billing@your.example, got {text!r}")
    if not whole_number:
        return text
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{PREFIX}{name.upper()}: must be a whole number, got {text!r}")
    return int(text)


# Read by the command line when it speaks to a server.
CLIENT_VARIABLES = {
    "TALLYSTICK_URL": "Address of the server that commands speak to.",
    "TALLYSTICK_API_KEY": "Access key of the service user that commands sign in with.",
    "TALLYSTICK_API_SECRET": "Secret of that service user.",
    "TALLYSTICK_ORG_ID": "Organisation that commands work in.",
}
# Read by the server, so that tests can end it at a certain place (`failpoints.py`).
TEST_VARIABLES = {
    "TALLYSTICK_FAILPOINT": "For tests: the place where the server kills itself (docs/guides/crashes.md).",
}
_KNOWN = {PREFIX + each.name.upper() for each in fields(Settings)} | CLIENT_VARIABLES.keys() | TEST_VARIABLES.keys()
