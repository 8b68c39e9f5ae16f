"""Filters keep the measurements for which the calculation language says true; the same on every store."""

from __future__ import annotations

import pytest
from usage_examples import D, Tenant, Values, usage

from tallystick.core.expression import CalculationError, ExpressionError

ROWS: dict[str, Values] = {
    "a": {"bytes": 10, "cost": D(2), "region": "eu", "tier": "hot"},
    "b": {"bytes": 20, "cost": D(-3), "region": "us"},
    "c": {"bytes": 30, "region": "", "tier": "cold"},
    "d": {"bytes": 40, "cost": D(0)},
    "e": {"bytes": 50, "cost": D("0.000000000000000001"), "region": "Eu"},
}


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("true", "abcde"),
        ("false", ""),
        ("null", ""),
        ("NOT null", "abcde"),
        ("bytes > 20", "cde"),
        ("bytes >= 20 AND bytes < 50", "bcd"),
        ("region == 'eu'", "a"),
        ("region != 'eu'", "bcde"),  # null is not 'eu'
        ("NOT region == 'eu'", "bcde"),
        ("region == null", "d"),
        ("region != null", "abce"),
        ("null == null", "abcde"),
        ("region == ''", "c"),
        ("region > ''", "abe"),
        ("region < 'a'", "ce"),  # by code point: 'Eu' is less than 'a'
        ("region <= region", "abce"),  # null has no order
        ("region == tier", "d"),  # null equals null; no text here equals another
        ("region != tier", "abce"),
        ("cost > 0", "ae"),
        ("NOT cost > 0", "bcd"),
        ("NOT (cost > 0 OR cost <= 0)", "c"),
        ("cost == 0.000000000000000001", "e"),
        ("cost == 0.0000000000000000010", "e"),
        ("cost == 0.000000000000000001000000000001", ""),
        ("cost > 0.000000000000000000000000000001", "ae"),
        ("-cost == 3", "b"),
        ("+cost == -3", "b"),
        ("bytes + cost == 17", "b"),
        ("bytes - cost * 2 == 26", "b"),
        ("cost * cost == 0.000000000000000001 * 0.000000000000000001", "e"),
        ("cost * cost < cost AND cost > 0", "e"),
        ("cost + 1 == null", "c"),
        ("isnull(cost, 7) == 7", "c"),
        ("isnull(region, 'eu') == 'eu'", "ad"),
        ("isnull(tier, region) == 'us'", "b"),
        ("IN(region, 'eu', 'us')", "ab"),
        ("IN(region, 'eu', null)", "ad"),
        ("IN(cost, 2, -3.0)", "ab"),
        ("NOT IN(bytes, 10, 20, 30.5)", "cde"),
        ("unknown == null", "abcde"),
        ("unknown > 5", ""),
        ("isnull(unknown, 3) == 3", "abcde"),
        ("(cost > 0) == (bytes > 20)", "be"),
        ("isnull(null, bytes > 20)", "cde"),
        ("(NOT bytes > 20) == (region == 'eu')", "acde"),
        ("(region != 'eu') == (bytes > 20)", "acde"),
        ("true == (NOT bytes > 20)", "ab"),
        ("99999999999999999999 + bytes > 99999999999999999999 + 20", "cde"),
        # What the engine cannot compute exactly is computed all the same.
        ("bytes / 3 > 10", "de"),
        ("bytes % 20 == 10", "ace"),
        ("(bytes > 20 ? region : tier) == 'hot'", "a"),
        ("Math.abs(cost) == 3", "b"),
        ("bytes * bytes * bytes * bytes == 810000", "c"),
        ("region + tier == 'euhot'", "a"),
    ],
)
def test_a_filter_keeps_what_it_is_true_for(tenant: Tenant, where: str, kept: str) -> None:
    tenant.add(*(usage(values, account=name) for name, values in ROWS.items()))
    assert "".join(answer.account_id for answer in tenant.measure("COUNT", where=where)) == kept


def test_a_filter_that_does_not_fit_the_values_says_so(tenant: Tenant) -> None:
    tenant.add(usage({"bytes": 1, "region": "eu"}))
    with pytest.raises(CalculationError, match="compare a number with a text"):
        tenant.measure("COUNT", where="region == 5")
    with pytest.raises(ExpressionError):
        tenant.measure("COUNT", where="region = 5")
