"""Measurements and filters that Hypothesis draws for the tests of the usage stores."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from usage_examples import D, usage

from tallystick.core.aggregation import Method
from tallystick.core.period import Instant
from tallystick.ports import UsageRow

METHODS = [method for method in Method if not method.time_weighted and method is not Method.CORRELATED_COUNT]
ACCOUNTS = ["ada", "grace", "hedy", "Ada"]

quantities = st.one_of(
    st.integers(-3, 3).map(D),
    st.decimals(min_value=-(10**19), max_value=10**19, places=18, allow_nan=False),
    st.sampled_from([D("99999999999999999999.999999999999999999"), D("-99999999999999999999"), D("1E-18")]),
)
words = st.one_of(st.sampled_from(["eu", "us", "EU", ""]), st.text(st.characters(codec="utf-8"), max_size=3))
# Close together, so that measurements share moments, hours and days; some on the days the clocks change.
moments = st.builds(
    lambda day, minute, micro: Instant.of(Instant.parse(day) + (micro + minute * 60_000_000) * Instant.resolution),
    st.sampled_from(["2025-03-30", "2025-10-26", "2025-10-25", "2024-12-31", "1987-10-25", "2011-12-30"]),
    st.sampled_from([0, 29, 30, 59, 60, 90, 120, 151, 152, 600, 1439]),
    st.sampled_from([0, 1]),
)


@st.composite
def measurements(draw: st.DrawFn) -> list[UsageRow]:
    found = []
    for place in range(draw(st.integers(0, 12))):
        values = {
            **({"bytes": draw(quantities)} if draw(st.integers(0, 4)) else {}),
            **({"cost": draw(quantities)} if draw(st.booleans()) else {}),
            **({"region": draw(words)} if draw(st.integers(0, 3)) else {}),
            **({"tier": draw(words)} if draw(st.booleans()) else {}),
        }
        row = usage(values, account=draw(st.sampled_from(ACCOUNTS)), meter=draw(st.sampled_from(["storage", "api"])))
        found.append(replace(row, ts=draw(moments), uid=f"{draw(words)}{place}"))
    return found


number_terms = st.recursive(
    st.sampled_from(["bytes", "cost", "0", "1", "2.5", "null", "0.000000000000000001", "99999999999999999999"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*"]), inner),
        st.builds("-{}".format, inner),
        st.builds("isnull({}, {})".format, inner, inner),
    ),
    max_leaves=4,
)
text_terms = st.sampled_from(["region", "tier", "'eu'", "''", "null", "isnull(region, tier)", "isnull(tier, 'EU')"])
comparisons = st.one_of(
    *(
        st.builds("({} {} {})".format, terms, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), terms)
        for terms in (number_terms, text_terms)
    ),
    *(st.builds("IN({}, {}, {})".format, terms, terms, terms) for terms in (number_terms, text_terms)),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR", "==", "!="]), inner),
        st.builds("(NOT {})".format, inner),
    ),
    max_leaves=4,
)
