"""The shop's own bills, by hand: what all browser stories stand on."""

from __future__ import annotations

from calendar import monthrange
from decimal import Decimal

import pytest
from browser_shop import GROWN, Shop
from storefront import read

pytestmark = pytest.mark.browser


def test_the_shop_bills_what_its_rule_comes_to(shop: Shop) -> None:
    with shop.tenant.http() as http:
        bills = read(http.get("/bills", params={"pageSize": 100}))["data"]
    found = {(bill["accountCode"], bill["startDate"][:10]): Decimal(bill["billTotal"]) for bill in bills}
    for index, month in enumerate(shop.months[:2]):
        days = monthrange(month.year, month.month)[1]
        for code, grown in GROWN.items():
            large = sum(1 for number in range(grown[index]) if number % 4 != 3) * days
            small = grown[index] * days - large
            gpt_x, gpt_mini = Decimal(large) * 20_000 / 1_000_000, Decimal(small) * 30_000 / 1_000_000
            tiered = min(gpt_x, Decimal(10)) * 12 + max(gpt_x - 10, Decimal(0)) * Decimal("9.5")
            users = 5 * Decimal("1.5") + 4 * Decimal("1.25")
            expected = 49 + sum(round(each, 2) for each in (tiered, gpt_mini * Decimal("0.8"), users))
            prepaid = expected if code == "acme" else 0  # its wallet of 2,000 pays for both months
            assert found[code, month.isoformat()] == expected - prepaid, (code, month, found)
