"""What a row of a CRM says of an account or a contract: Salesforce's Account, Contract and Opportunity, HubSpot's
companies and deals, as their exports and APIs write them.

Each field of ours has columns that it may stand in; a blank cell says nothing. Sources: Salesforce's object reference
(a contract's EndDate is its last day, ContractTerm is in months, ids have 15 characters and 18 with their checksum);
HubSpot's CRM API (an object has `id`, `properties` and `associations`) and the headings of its exports.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from tallystick.core.entity import Value
from tallystick.core.source_rows import text_of

MOST_ROWS = 1_000  # of one request
DEEPEST = 3  # objects within objects that are looked into
LINE, LINES = 50, 4  # characters of a line of an address, and lines


class CrmSystem(StrEnum):
    """The systems whose rows are known; the name is that of external mappings."""

    SALESFORCE = "Salesforce"
    HUBSPOT = "HubSpot"


class CrmTable(StrEnum):
    """The tables of these systems that are pulled."""

    ACCOUNT = "Account"
    CONTRACT = "Contract"
    OPPORTUNITY = "Opportunity"
    COMPANIES = "companies"
    DEALS = "deals"


Columns = Mapping[str, tuple[str, ...]]

_ADDRESS = ("address.locality", "address.region", "address.postCode", "address.country")
ACCOUNT_FIELDS = (
    *("externalId", "name", "code", "emailAddress", "currency", "parentId", "purchaseOrderNumber"),
    *("daysBeforeBillDue", "address.street", *_ADDRESS),
)
CONTRACT_FIELDS = (
    *("externalId", "name", "code", "accountId", "accountCode", "startDate", "lastDate", "termMonths"),
    *("description", "purchaseOrderNumber", "status"),
)

# Which columns say what, the first that is not blank.
DEFAULTS: Mapping[CrmTable, Columns] = {
    CrmTable.ACCOUNT: {
        "externalId": ("Id", "Account ID"),
        "name": ("Name", "Account Name"),
        "code": ("AccountNumber", "Account Number"),
        "emailAddress": ("BillingEmail__c", "Billing_Email__c", "Email__c", "PersonEmail", "Email"),
        "currency": ("CurrencyIsoCode",),
        "parentId": ("ParentId", "Parent Account ID"),
        "address.street": ("BillingStreet", "Billing Street"),
        "address.locality": ("BillingCity", "Billing City"),
        "address.region": ("BillingState", "Billing State/Province"),
        "address.postCode": ("BillingPostalCode", "Billing Zip/Postal Code"),
        "address.country": ("BillingCountry", "Billing Country"),
    },
    CrmTable.CONTRACT: {
        "externalId": ("Id", "Contract ID"),
        "name": ("Name", "Contract Name", "ContractNumber", "Contract Number"),
        "code": ("ContractNumber", "Contract Number"),
        "accountId": ("AccountId", "Account ID"),
        "startDate": ("StartDate", "Contract Start Date"),
        "lastDate": ("EndDate", "Contract End Date"),
        "termMonths": ("ContractTerm", "Contract Term (months)"),
        "description": ("Description",),
        "status": ("Status",),
    },
    CrmTable.OPPORTUNITY: {
        "externalId": ("Id", "Opportunity ID"),
        "name": ("Name", "Opportunity Name"),
        "accountId": ("AccountId", "Account ID"),
        "startDate": ("StartDate__c", "Start_Date__c", "CloseDate", "Close Date"),
        "lastDate": ("EndDate__c", "End_Date__c"),
        "termMonths": ("Term__c", "Term_Months__c"),
        "description": ("Description",),
        "status": ("StageName", "Stage"),
    },
    CrmTable.COMPANIES: {
        "externalId": ("id", "hs_object_id", "Record ID"),
        "name": ("name", "Company name"),
        "emailAddress": ("billing_email", "email", "Billing email", "Email"),
        "parentId": ("hs_parent_company_id", "Parent Company ID"),
        "address.street": ("address", "Street Address"),
        "address.locality": ("city", "City"),
        "address.region": ("state", "State/Region"),
        "address.postCode": ("zip", "Postal Code"),
        "address.country": ("country", "Country/Region"),
    },
    CrmTable.DEALS: {
        "externalId": ("id", "hs_object_id", "Record ID"),
        "name": ("dealname", "Deal Name"),
        "accountId": ("associations.companies", "Associated Company IDs (Primary)", "Associated Company IDs"),
        "startDate": ("contract_start_date", "closedate", "Close Date"),
        "lastDate": ("contract_end_date",),
        "termMonths": ("contract_term_months", "hs_term_in_months"),
        "description": ("description", "Deal Description"),
        "status": ("dealstage", "Deal Stage"),
    },
}
# Which rows count, by their status: others are passed over. A row without a status counts.
TAKEN: Mapping[CrmTable, tuple[str, ...]] = {
    CrmTable.CONTRACT: ("Activated",),
    CrmTable.OPPORTUNITY: ("Closed Won",),
    CrmTable.DEALS: ("closedwon", "Closed Won", "Closed won"),
}
OF_SYSTEM: Mapping[CrmSystem, frozenset[CrmTable]] = {
    CrmSystem.SALESFORCE: frozenset({CrmTable.ACCOUNT, CrmTable.CONTRACT, CrmTable.OPPORTUNITY}),
    CrmSystem.HUBSPOT: frozenset({CrmTable.COMPANIES, CrmTable.DEALS}),
}
ACCOUNTS_OF = {CrmSystem.SALESFORCE: CrmTable.ACCOUNT, CrmSystem.HUBSPOT: CrmTable.COMPANIES}


class CrmPull(Value, frozen=True, kw_only=True):
    """Rows to pull. `columns` says for a field of ours which columns it stands in, instead of the usual ones (a field
    `customFields.NAME` for a custom field); `defaults` what new
    ones have where a row says nothing; `statuses` which rows
    count. With `dry_run` nothing is kept."""

    system: CrmSystem
    table: CrmTable
    rows: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(max_length=MOST_ROWS)]
    columns: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    defaults: dict[str, str] = msgspec.field(default_factory=dict)
    statuses: tuple[str, ...] | None = None
    dry_run: bool = False

    @property
    def is_account(self) -> bool:
        """Whether rows are accounts; else contracts."""
        return self.table in {CrmTable.ACCOUNT, CrmTable.COMPANIES}

    def check(self) -> None:
        if self.table not in OF_SYSTEM[self.system]:
            raise ValueError(f"table: {self.system} has {', '.join(sorted(OF_SYSTEM[self.system]))}")
        known = ACCOUNT_FIELDS if self.is_account else CONTRACT_FIELDS
        for name, given in (("columns", self.columns), ("defaults", self.defaults)):
            unknown = [each for each in given if each not in known and not re.fullmatch(r"customFields\..+", each)]
            if unknown:
                fields = f"{', '.join(known)} and customFields.NAME"
                raise ValueError(f"{name}: there is no field {unknown[0][:40]!r}; there are {fields}")


class CrmRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a row says: `fields` are those of an account or a contract, as on the wire; `fresh` are those of a new one,
    with what holds where a row says nothing. The ids are the CRM's."""

    external_id: str
    fields: dict[str, Any]
    fresh: dict[str, Any]
    account_id: str | None = None
    account_code: str | None = None
    parent_id: str | None = None


class Passed(msgspec.Struct, frozen=True):
    """A row that does not count, and why."""

    external_id: str
    reason: str


def read_record(row: Mapping[str, Any], pull: CrmPull) -> CrmRecord | Passed:
    """What a row says. ValueError, naming the field, where it cannot be read."""
    own = _said(flat(row), pull)
    said = {**pull.defaults, **own}
    external_id = said.pop("externalId", None)
    if external_id is None:
        raise ValueError("externalId: the row has no id; name its column with columns.externalId")
    external_id = full_id(external_id) if pull.system is CrmSystem.SALESFORCE else external_id
    status, taken = said.pop("status", None), pull.statuses or TAKEN.get(pull.table, ())
    if status is not None and taken and status not in taken:
        return Passed(external_id, f"its status is {status[:40]}; {' or '.join(taken)} counts")
    ids = {name: said.pop(name, None) for name in ("accountId", "accountCode", "parentId")}
    if pull.system is CrmSystem.SALESFORCE:
        ids |= {name: full_id(id_) for name in ("accountId", "parentId") if (id_ := ids[name])}
    elif ids["accountId"]:
        ids["accountId"] = ids["accountId"].split(";")[0].strip()  # the first is the primary one
    made = _account if pull.is_account else _contract
    return CrmRecord(
        external_id=external_id,
        fields=made(own),
        fresh=made(said),
        account_id=ids["accountId"],
        account_code=ids["accountCode"],
        parent_id=ids["parentId"],
    )


def flat(row: Mapping[str, Any], depth: int = DEEPEST) -> dict[str, str]:
    """The cells of a row as texts: HubSpot's `properties` as if they were columns, an association as the id of its
    first, what lies deeper with dots. Blank cells are left out."""
    found: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            if (first := _first(value)) is not None:
                found[name] = first
            elif depth:
                inner = flat(value, depth - 1)
                found |= inner if name == "properties" else {f"{name}.{deeper}": inner[deeper] for deeper in inner}
        elif (text := _text(value)) is not None:
            found[name] = text
    return found


def _first(association: Mapping[str, Any]) -> str | None:
    """The id of the first object of an association."""
    results = association.get("results")
    if isinstance(results, list) and results and isinstance(results[0], Mapping):
        return _text(results[0].get("id"))
    return None


def full_id(id: str) -> str:
    """A Salesforce id with its checksum, which reports leave out: three characters that say which letters of each five
    are capitals. Anything else is left as it is."""
    if len(id) != 15 or not (id.isascii() and id.isalnum()):
        return id
    parts = (id[start : start + 5] for start in range(0, 15, 5))
    sums = (sum(1 << place for place, each in enumerate(part) if each.isupper()) for part in parts)
    return id + "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[each] for each in sums)


def _said(cells: Mapping[str, str], pull: CrmPull) -> dict[str, str]:
    columns = {**DEFAULTS[pull.table], **pull.columns}
    said: dict[str, str] = {}
    for field, names in columns.items():
        text = next((cells[each] for each in names if each in cells), None)
        if text is not None:
            said[field] = text
    return said


def _account(said: Mapping[str, str]) -> dict[str, Any]:
    fields = _plain(said)
    address = {name.removeprefix("address."): text for name, text in said.items() if name in _ADDRESS}
    if street := said.get("address.street"):
        lines = [part for line in street.splitlines() for part in textwrap.wrap(line, LINE)]
        if len(lines) > LINES:
            raise ValueError(f"address.street: {len(lines)} lines of at most {LINE} characters; {LINES} are kept")
        address |= {f"addressLine{number}": line for number, line in enumerate(lines, 1)}
    if address:
        fields["address"] = address
    if "daysBeforeBillDue" in said:
        fields["daysBeforeBillDue"] = _whole(said["daysBeforeBillDue"], "daysBeforeBillDue")
    return fields


def _contract(said: Mapping[str, str]) -> dict[str, Any]:
    fields = _plain(said)
    start = _day(said["startDate"], "startDate") if "startDate" in said else None
    if start is not None:
        fields["startDate"] = start.isoformat()
    if "lastDate" in said:
        last = _day(said["lastDate"], "lastDate")
        if last == date.max:
            raise ValueError("lastDate: must be before 9999-12-31; leave it blank where there is no end")
        fields["endDate"] = (last + timedelta(days=1)).isoformat()
    elif "termMonths" in said and start is not None:
        fields["endDate"] = _after(start, _whole(said["termMonths"], "termMonths")).isoformat()
    return fields


def _plain(said: Mapping[str, str]) -> dict[str, Any]:
    """The fields that are texts here as there, and custom fields."""
    names = ("name", "code", "emailAddress", "currency", "purchaseOrderNumber", "description")
    fields: dict[str, Any] = {name: said[name] for name in names if name in said}
    custom = {name.partition(".")[2]: text for name, text in said.items() if name.startswith("customFields.")}
    return fields | ({"customFields": custom} if custom else {})


def _text(value: Any) -> str | None:
    if isinstance(value, str | int | Decimal):
        return text_of(value).strip() or None
    return None  # nothing, or a list: there is no column of it


def _day(text: str, field: str) -> date:
    """A day as CRMs write it: 2024-03-01, with a time behind it, or milliseconds since 1970 began."""
    try:
        if re.fullmatch(r"[0-9]{12,13}", text):
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text))).date()
        return date.fromisoformat(text[:10])
    except (ValueError, OverflowError):
        raise ValueError(f"{field}: must be a day such as 2024-03-01, got {text[:40]!r}") from None


def _whole(text: str, field: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}(\.0+)?", text):
        raise ValueError(f"{field}: must be a whole number, got {text[:40]!r}")
    return int(text.split(".", maxsplit=1)[0])


def _after(start: date, months: int) -> date:
    """The same day so many months later, or the last of that month."""
    years, month = divmod(start.month - 1 + months, 12)
    if start.year + years >= date.max.year:
        raise ValueError(f"termMonths: ends after the year {date.max.year - 1}, got {months}")
    first = date(start.year + years, month + 1, 1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(start.day, last.day))


class Outcome(StrEnum):
    """What became of a row."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    SKIPPED = "SKIPPED"  # it does not count, by its status
    REFUSED = "REFUSED"


class PulledRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of a row, counted from 1: the entity, and the `changes` of it; or the `reason`."""

    row: int
    outcome: Outcome
    external_id: str | None = None
    id: str | None = None
    code: str | None = None
    changes: tuple[str, ...] = ()
    reason: str | None = None


class Pulled(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of all rows."""

    dry_run: bool
    created: int
    updated: int
    unchanged: int
    skipped: int
    refused: int
    rows: tuple[PulledRow, ...]


def pulled(rows: Sequence[PulledRow], *, dry_run: bool) -> Pulled:
    """The report on rows."""
    counts = {outcome.value.lower(): sum(1 for each in rows if each.outcome is outcome) for outcome in Outcome}
    return Pulled(dry_run=dry_run, rows=tuple(rows), **counts)


def code_of(name: str, external_id: str) -> str:
    """The code of an account that the CRM has none for: that of its name, made plain, with the end of its id."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "account"
    return f"{plain}-{re.sub(r'[^A-Za-z0-9]', '', external_id)[-6:].lower()}"
