"""What ingest knows of an organisation: settings, meters and accounts, kept in memory while nothing changes.

A snapshot is good for one revision of the organisation's records. Accounts are looked up when their code is first
met; a code that nobody has becomes a skeleton account, as m3ter does it (source: reference 4.3), unless the
organisation wants such measurements to wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.measurement import Schema, schema_of
from tallystick.core.meter import Meter
from tallystick.core.organization import OrganizationConfig, UnknownAccounts
from tallystick.core.period import Instant
from tallystick.errors import Refusal, Rejection
from tallystick.pipeline.ingest.columns import Form, Forms
from tallystick.ports import OrganizationRecords, Records, Where

# The address of an account that nobody has filled in yet; `.invalid` can never receive mail (RFC 2606).
PLACEHOLDER_ADDRESS = "unknown@account.invalid"
ENROLLED_BY = "ingest"
MOST_REFUSED = 10_000  # codes that are remembered as nobody's: a client that makes up codes must not fill the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A snapshot at one revision. The account maps fill up as codes are met; everything else stays as it is."""

    revision: int
    config: OrganizationConfig
    schemas: dict[str, Schema]  # meter code →
    forms: Forms
    accounts: dict[str, str] = field(default_factory=dict)  # account code → id
    refused: dict[str, Rejection] = field(default_factory=dict)  # account code → why it is nobody's
    folded: dict[str, str] = field(default_factory=dict)  # account code without case and outer spaces → code
    folded_complete: list[bool] = field(default_factory=list)  # not empty once `folded` has every account


class Directory:
    """The snapshots of all organisations. Any thread may ask."""

    def __init__(self, records: Records, new_id: Callable[[], str]) -> None:
        self._records = records
        self._new_id = new_id
        self._known: dict[str, Known] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def current(self, organization_id: str) -> Known | None:
        """The snapshot, if there is one that still holds; asks no disk."""
        known = self._known.get(organization_id)
        if known is None or known.revision != self._records.organization(organization_id).revision:
            return None
        return known

    def refresh(self, organization_id: str) -> Known:
        """A snapshot that holds now. Refusal `forbidden` for an organisation that does not exist."""
        with self._lock(organization_id):
            known = self.current(organization_id)
            if known is not None:
                return known
            if self._records.find_organization(organization_id) is None:
                raise Refusal("forbidden", f"there is no access to the organization {organization_id[:40]!r}")
            records = self._records.organization(organization_id)
            revision = records.revision  # read first: what is committed meanwhile makes the snapshot stale, not wrong
            config = records.get(OrganizationConfig, organization_id)
            schemas = {meter.value.code: schema_of(meter) for meter in records.every(Meter)}
            known = Known(
                revision=revision,
                config=config.value if config is not None else OrganizationConfig(),
                schemas=schemas,
                forms=self._forms_of(schemas, self._known.get(organization_id)),
            )
            self._known[organization_id] = known
            return known

    def _forms_of(self, schemas: dict[str, Schema], before: Known | None) -> Forms:
        """How measurements of the meters are read: made anew only where a meter has changed."""
        if before is not None and before.schemas == schemas:
            return before.forms
        made = {} if before is None else {form.key: form for form in before.forms.all}
        return Forms([made.get((code, schema)) or Form(code, schema) for code, schema in schemas.items()])

    def enrol(self, organization_id: str, codes: Collection[str], now: Instant) -> Known:
        """A snapshot that knows each of the well-formed account codes: as an account, found or made, or as refused."""
        known = self.refresh(organization_id)
        with self._lock(organization_id):
            records = self._records.organization(organization_id)
            if len(known.refused) >= MOST_REFUSED:
                known.refused.clear()
            asked = [code for code in codes if code not in known.accounts and code not in known.refused]
            wanted = self._refuse(known, records, self._find(known, records, asked))
            return self._create(known, records, wanted, now) if wanted else known

    def _refuse(self, known: Known, records: OrganizationRecords, codes: Iterable[str]) -> list[str]:
        """Note which of the unknown codes may not become accounts; gives the others."""
        wanted: list[str] = []
        for code in codes:
            fault = _near_match(known, records, code)
            if fault is None and known.config.unknown_accounts is UnknownAccounts.QUEUE:
                reason = f"account: there is no account {code!r}, and this organization creates none by itself"
                fault = Rejection("unknown_account", reason, "account")
            if fault is not None:
                known.refused[code] = fault
            else:
                wanted.append(code)
                known.folded[_fold(code)] = code  # the next of this batch may differ from it by case only
        return wanted

    def _find(self, known: Known, records: OrganizationRecords, codes: Collection[str]) -> list[str]:
        """Take in those of the codes that accounts have; gives the others."""
        if codes:
            for account in records.every(Account, Where(equal={"code": codes})):
                known.accounts[account.value.code] = account.id
        return [code for code in codes if code not in known.accounts]

    def _create(self, known: Known, records: OrganizationRecords, codes: Iterable[str], now: Instant) -> Known:
        """Skeleton accounts for codes that nobody has, in one transaction; those that exist by then are taken."""
        # Until it is committed nothing is known for sure: should it fail, the next request starts afresh.
        self._known.pop(records.organization_id, None)
        made: dict[str, str] = {}
        with records.transaction() as write:
            undisturbed = write.revision == known.revision
            for code in self._find(known, write, list(codes)):
                account = _skeleton(code, self._new_id(), now)
                write.insert(account)
                made[code] = account.id
        known.accounts.update(made)
        if undisturbed and records.revision == known.revision + 1:
            # Only these accounts were added since the snapshot was taken, so it still holds.
            known = Known(
                revision=known.revision + 1,
                config=known.config,
                schemas=known.schemas,
                forms=known.forms,
                accounts=known.accounts,
                refused=known.refused,
                folded=known.folded,
                folded_complete=known.folded_complete,
            )
            self._known[records.organization_id] = known
        return known

    def _lock(self, organization_id: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(organization_id, threading.Lock())


def _near_match(known: Known, records: OrganizationRecords, code: str) -> Rejection | None:
    """A code that differs from an existing one by case or outer spaces only is a slip, not a new customer."""
    if not known.folded_complete:
        for account in records.every(Account):
            known.folded.setdefault(_fold(account.value.code), account.value.code)
        known.folded_complete.append(True)
    other = known.folded.get(_fold(code))
    if other is None or other == code:
        return None
    reason = f"account: there is no account {code!r}; did you mean {other!r}? Codes are compared exactly"
    return Rejection("invalid_account", reason, "account")


def _fold(code: str) -> str:
    return code.strip().casefold()


def _skeleton(code: str, id: str, now: Instant) -> Entity[Account]:
    value = Account(name=code, code=code, email_address=PLACEHOLDER_ADDRESS)
    return Entity(
        id=id, version=1, value=value, created=now, created_by=ENROLLED_BY, modified=now, modified_by=ENROLLED_BY
    )
