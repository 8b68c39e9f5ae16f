"""Who has measurements from before a moment that were journalled after a position; the same on every store."""

from __future__ import annotations

import pytest
from usage_examples import Tenant, at, usage

BEFORE = "2025-07-01T00:00:00Z"


@pytest.mark.parametrize(
    ("before", "after", "up_to", "accounts", "late"),
    [
        (BEFORE, 0, 5, "ada bob eve", "ada bob"),
        (BEFORE, 1, 5, "ada bob eve", "ada bob"),
        (BEFORE, 2, 5, "ada bob eve", "bob"),
        (BEFORE, 0, 2, "ada bob eve", "ada"),
        (BEFORE, 3, 5, "ada bob eve", ""),
        (BEFORE, 0, 5, "eve bob", "bob"),
        ("2025-06-30T23:59:59Z", 0, 5, "ada bob eve", "ada"),
        ("2025-07-01T00:00:01Z", 3, 5, "ada bob eve", "eve"),
    ],
)
def test_late_accounts(tenant: Tenant, before: str, after: int, up_to: int, accounts: str, late: str) -> None:
    """Positions 1 to 4: ada twice in June, bob in the last second of June on another meter, eve in July."""
    rows = tenant.add(
        usage({"bytes": 1}, ts="2025-06-01T00:00:00Z", account="ada"),
        usage({"bytes": 1}, ts="2025-06-20T00:00:00Z", account="ada"),
        usage({"calls": 1}, ts="2025-06-30T23:59:59.999999Z", account="bob", meter="api"),
        usage({"bytes": 1}, ts="2025-07-01T00:00:00Z", account="eve"),
    )
    first = rows[0].position - 1
    found = tenant.store.organization(tenant.id).late_accounts(
        accounts.split(), before=at(before), after=first + after, up_to=first + up_to
    )
    assert found == set(late.split())
    assert tenant.store.organization(tenant.id).late_accounts([], before=at(before), after=0, up_to=up_to) == set()
