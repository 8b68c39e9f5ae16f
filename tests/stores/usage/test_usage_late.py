"""Who has measurements from before a moment that were journalled after a position, since when; on every store alike."""

from __future__ import annotations

import pytest
from usage_examples import Tenant, at, usage

JUNE_1, JUNE_20, LAST = "2025-06-01T00:00:00Z", "2025-06-20T00:00:00Z", "2025-06-30T23:59:59.999999Z"
BEFORE = "2025-07-01T00:00:00Z"


@pytest.mark.parametrize(
    ("before", "after", "up_to", "accounts", "late"),
    [
        (BEFORE, 0, 5, "ada bob eve", {"ada": JUNE_1, "bob": LAST}),
        (BEFORE, 1, 5, "ada bob eve", {"ada": JUNE_20, "bob": LAST}),
        (BEFORE, 2, 5, "ada bob eve", {"bob": LAST}),
        (BEFORE, 0, 2, "ada bob eve", {"ada": JUNE_1}),
        (BEFORE, 3, 5, "ada bob eve", {}),
        (BEFORE, 0, 5, "eve bob", {"bob": LAST}),
        ("2025-06-30T23:59:59Z", 0, 5, "ada bob eve", {"ada": JUNE_1}),
        ("2025-07-01T00:00:01Z", 3, 5, "ada bob eve", {"eve": BEFORE}),
    ],
)
def test_late_accounts(
    tenant: Tenant, before: str, after: int, up_to: int, accounts: str, late: dict[str, str]
) -> None:
    """Positions 1 to 4: ada twice in June, bob in the last second of June on another meter, eve in July."""
    rows = tenant.add(
        usage({"bytes": 1}, ts=JUNE_1, account="ada"),
        usage({"bytes": 1}, ts=JUNE_20, account="ada"),
        usage({"calls": 1}, ts=LAST, account="bob", meter="api"),
        usage({"bytes": 1}, ts=BEFORE, account="eve"),
    )
    first = rows[0].position - 1
    found = tenant.store.organization(tenant.id).late_accounts(
        accounts.split(), before=at(before), after=first + after, up_to=first + up_to
    )
    assert found == {account: at(first) for account, first in late.items()}
    assert tenant.store.organization(tenant.id).late_accounts([], before=at(before), after=0, up_to=up_to) == {}
