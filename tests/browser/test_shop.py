"""The shop's own bills, by hand: what all browser stories stand on."""

from __future__ import annotations

from decimal import Decimal

import pytest
from browser_shop import GROWN, Shop, by_hand
from storefront import read

pytestmark = pytest.mark.browser


def test_the_shop_bills_what_its_rule_comes_to(shop: Shop) -> None:
    with shop.tenant.http() as http:
        bills = read(http.get("/bills", params={"pageSize": 100}))["data"]
    found = {(bill["accountCode"], bill["startDate"][:10]): Decimal(bill["billTotal"]) for bill in bills}
    for index, month in enumerate(shop.months[:2]):
        for code in GROWN:
            expected = by_hand(shop, code, index).total
            prepaid = expected if code == "acme" else 0  # its wallet of 2,000 pays for both months
            assert found[code, month.isoformat()] == expected - prepaid, (code, month, found)
