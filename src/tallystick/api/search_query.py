"""The parameters of m3ter's `search` operations, the same for every noun that can be searched."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tallystick.control.search import Search, read_terms
from tallystick.errors import Refusal
from tallystick.web.query import QueryString

FURTHEST = 10**9  # rows that a search can skip


def read_search(
    query: QueryString, keys: Collection[str], sort_keys: Collection[str], dates: Collection[str] = ()
) -> Search:
    """A search over keys, of which `dates` are dates; sorted by any of `sort_keys`."""
    sort_by = _choice(query, "sortBy", sort_keys)
    order = _choice(query, "sortOrder", ("ASC", "DESC"))
    return Search(
        terms=read_terms(query.text("searchQuery"), keys, instants=dates),
        any_term=_choice(query, "operator", ("AND", "OR")) == "OR",
        sort_by=sort_by or ("dtCreated" if order is not None else None),
        descending=order == "DESC",
        offset=query.number("fromDocument", lowest=0, highest=FURTHEST) or 0,
        size=query.number("pageSize", lowest=1, highest=100) or 10,
    )


def described(example: str, keys: Collection[str], sort_keys: Collection[str]) -> Mapping[str, str]:
    """One line on each parameter."""
    return {
        "searchQuery": f"Terms joined by $, such as {example}, over {', '.join(keys)}.",
        "operator": "AND: all terms hold; OR: at least one.",
        "sortBy": f"One of {', '.join(sort_keys)}.",
        "sortOrder": "ASC or DESC.",
        "fromDocument": "How many rows to skip.",
        "pageSize": "How many rows to answer at most, 10 if not given.",
    }


def _choice(query: QueryString, name: str, choices: Collection[str]) -> str | None:
    text = query.text(name)
    if text is not None and text not in choices:
        raise Refusal("invalid_request", f"{name}: must be one of {', '.join(choices)}, got {text[:40]!r}", field=name)
    return text
