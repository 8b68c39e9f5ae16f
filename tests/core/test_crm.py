"""What rows of CRMs say: as Salesforce and HubSpot write them, in exports and in answers of their APIs."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.core import wire
from tallystick.core.crm import (
    CrmPull,
    CrmRecord,
    CrmSystem,
    CrmTable,
    Passed,
    code_of,
    flat,
    full_id,
    read_record,
)

SALESFORCE_ACCOUNT = {
    "attributes": {"type": "Account", "url": "/services/data/v60.0/sobjects/Account/001Dn00000Aa1Bc"},
    "Id": "001Dn00000Aa1Bc",
    "Name": "Acme",
    "AccountNumber": "ACME-1",
    "BillingEmail__c": "billing@acme.example",
    "BillingStreet": "1 Main Street\nFloor 2",
    "BillingCity": "Berlin",
    "BillingPostalCode": "10115",
    "BillingCountry": "Germany",
    "CurrencyIsoCode": "EUR",
    "ParentId": None,
    "Industry": "Software",
}
HUBSPOT_DEAL = {
    "id": "501",
    "properties": {
        "dealname": "Year",
        "dealstage": "closedwon",
        "closedate": "2024-03-01T10:00:00Z",
        "amount": "12000",
    },
    "associations": {"companies": {"results": [{"id": "77", "type": "deal_to_company"}]}},
}


def pull(system: CrmSystem, table: CrmTable, **given: Any) -> CrmPull:
    return CrmPull(system=system, table=table, rows=(), **given)


def read(row: dict[str, Any], table: CrmTable, **given: Any) -> CrmRecord:
    hubspot = table in {CrmTable.COMPANIES, CrmTable.DEALS}
    found = read_record(row, pull(CrmSystem.HUBSPOT if hubspot else CrmSystem.SALESFORCE, table, **given))
    assert isinstance(found, CrmRecord)
    return found


def test_an_account_of_salesforce() -> None:
    found = read(SALESFORCE_ACCOUNT, CrmTable.ACCOUNT, columns={"customFields.industry": ("Industry",)})
    assert found.external_id == full_id("001Dn00000Aa1Bc")
    assert found.fields == {
        "name": "Acme",
        "code": "ACME-1",
        "emailAddress": "billing@acme.example",
        "currency": "EUR",
        "customFields": {"industry": "Software"},
        "address": {
            "addressLine1": "1 Main Street",
            "addressLine2": "Floor 2",
            "locality": "Berlin",
            "postCode": "10115",
            "country": "Germany",
        },
    }


def test_a_company_of_hubspot_as_it_is_exported() -> None:
    row = {"Record ID": 77, "Company name": "Acme", "City": "Berlin", "Street Address": "", "Country/Region": "Germany"}
    found = read(row, CrmTable.COMPANIES, defaults={"emailAddress": "billing@us.example", "daysBeforeBillDue": "14"})
    assert (found.external_id, found.fresh["emailAddress"], found.fresh["daysBeforeBillDue"]) == (
        "77",
        "billing@us.example",
        14,
    )
    assert found.fields.keys() == {"name", "address"}  # an account that is there keeps what the row does not say
    assert found.fields["address"] == {"locality": "Berlin", "country": "Germany"}


@pytest.mark.parametrize(
    ("table", "row", "start", "end"),
    [
        # The last day of a contract belongs to it: ours ends on the next.
        (CrmTable.CONTRACT, {"StartDate": "2024-03-01", "EndDate": "2025-02-28"}, "2024-03-01", "2025-03-01"),
        (CrmTable.CONTRACT, {"StartDate": "2024-03-01", "ContractTerm": 12}, "2024-03-01", "2025-03-01"),
        (CrmTable.CONTRACT, {"StartDate": "2024-01-31", "ContractTerm": "1.0"}, "2024-01-31", "2024-02-29"),
        (CrmTable.OPPORTUNITY, {"CloseDate": "2024-03-01", "Term__c": "24"}, "2024-03-01", "2026-03-01"),
        (CrmTable.DEALS, {"closedate": "1709287200000", "hs_term_in_months": 6}, "2024-03-01", "2024-09-01"),
        (CrmTable.DEALS, {"Close Date": "2024-03-01 14:30"}, "2024-03-01", "2025-03-01"),
    ],
)
def test_the_days_of_contracts(table: CrmTable, row: dict[str, Any], start: str, end: str) -> None:
    given = {"Id": "1", "Record ID": "1", "Name": "Year", **row}
    found = read(given, table, defaults={"termMonths": "12"} if table is CrmTable.DEALS else {})
    assert (found.fresh["startDate"], found.fresh["endDate"]) == (start, end)


def test_a_deal_of_hubspot_as_its_api_answers_it() -> None:
    found = read(HUBSPOT_DEAL, CrmTable.DEALS)
    assert (found.external_id, found.account_id) == ("501", "77")
    assert found.fields == {"name": "Year", "startDate": "2024-03-01"}
    exported = {"Record ID": "501", "Deal Name": "Year", "Associated Company IDs": "77;78"}
    assert read(exported, CrmTable.DEALS).account_id == "77"


@pytest.mark.parametrize(
    ("table", "row", "passed"),
    [
        (CrmTable.CONTRACT, {"Id": "1", "Status": "Draft"}, True),
        (CrmTable.CONTRACT, {"Id": "1", "Status": "Activated"}, False),
        (CrmTable.CONTRACT, {"Id": "1"}, False),
        (CrmTable.OPPORTUNITY, {"Id": "1", "StageName": "Prospecting"}, True),
        (CrmTable.ACCOUNT, {"Id": "1", "Status": "Draft"}, False),
    ],
)
def test_only_what_is_agreed_counts(table: CrmTable, row: dict[str, Any], passed: bool) -> None:
    assert isinstance(read_record(row, pull(CrmSystem.SALESFORCE, table)), Passed) is passed
    own = pull(CrmSystem.SALESFORCE, table, statuses=("Draft", "Prospecting", "Activated"))
    assert isinstance(read_record(row, own), CrmRecord)


@pytest.mark.parametrize(
    ("table", "row", "problem"),
    [
        (CrmTable.ACCOUNT, {"Name": "Acme"}, "externalId"),
        (CrmTable.CONTRACT, {"Id": "1", "StartDate": "3/1/2024"}, "startDate: must be a day such as 2024-03-01"),
        (CrmTable.CONTRACT, {"Id": "1", "StartDate": "2024-03-01", "ContractTerm": "a year"}, "termMonths"),
        (CrmTable.ACCOUNT, {"Id": "1", "BillingStreet": "1\n2\n3\n4\n5"}, "address.street: 5 lines"),
    ],
)
def test_what_cannot_be_read(table: CrmTable, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_record(row, pull(CrmSystem.SALESFORCE, table))


def test_ids_of_salesforce_in_both_lengths_are_one() -> None:
    """By the published rule: of each five characters, which are capitals, as a number of five bits from the left."""
    id_ = "001Dn00000Aa1Bc"
    bits = [
        int("".join("1" if each.isupper() else "0" for each in reversed(part)), 2)
        for part in (id_[:5], id_[5:10], id_[10:])
    ]
    assert bits == [0b01000, 0b00000, 0b01001]
    assert full_id(id_) == id_ + "IAJ"
    assert full_id(id_ + "IAJ") == id_ + "IAJ"
    assert full_id("77") == "77"


def test_cells_are_texts() -> None:
    row = wire.decode(
        dict[str, Any],
        b'{"a": 1e2, "b": true, "c": null, "d": [1], "e": {"f": {"g": " x "}}, "h": "", "properties": {"p": 1}}',
    )
    assert flat(row) == {"a": "100", "b": "true", "e.f.g": "x", "p": "1"}
    deep: dict[str, Any] = {"x": "y"}
    for _ in range(100):
        deep = {"in": deep}
    assert flat(deep) == {}


def test_a_number_is_no_longer_than_it_was_written() -> None:
    row = wire.decode(dict[str, Any], b'{"Name": 1E+999999, "b": 1e-999999}')
    assert flat(row) == {"Name": "1E+999999", "b": "1E-999999"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"StartDate": "2024-03-01", "EndDate": "9999-12-31"}, "lastDate: must be before 9999-12-31"),
        ({"StartDate": "9999-03-01", "ContractTerm": 1}, "termMonths: ends after the year 9998"),
        ({"StartDate": "9990-03-01", "ContractTerm": 1200}, "termMonths: ends after the year 9998"),
    ],
)
def test_a_contract_that_ends_after_all_days_is_a_row_that_is_refused(row: dict[str, Any], problem: str) -> None:
    pull = wire.decode(CrmPull, b'{"system": "Salesforce", "table": "Contract", "rows": []}')
    with pytest.raises(ValueError, match=problem):
        read_record({"Id": "800000000000001AAA", "AccountId": "001", **row}, pull)


def test_a_code_is_made_of_the_name_and_the_id() -> None:
    assert code_of("Acme & Söhne GmbH", "001Dn00000Aa1BcIAJ") == "acme-s-hne-gmbh-1bciaj"
    assert code_of("株式会社", "77") == "account-77"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"system": "HubSpot", "table": "Account"}, "HubSpot has companies, deals"),
        ({"system": "Salesforce", "table": "Account", "columns": {"startDate": ["X"]}}, "no field 'startDate'"),
        ({"system": "Salesforce", "table": "Account", "defaults": {"customFields.": "X"}}, "no field"),
    ],
)
def test_what_is_asked_wrongly(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        wire.decode(CrmPull, wire.encode({"rows": [], **given}))
