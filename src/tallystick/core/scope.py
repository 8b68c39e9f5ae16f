"""Which usage each pricing of a plan charges, and when, so that no measurement is charged twice.

Pricings of one aggregation compete: the one that names more of the segment wins over the one with wildcards, the
plan's wins over the template's, one whose condition holds over one without (of several the first by its order), and
the one that starts later over the one before it. A pricing therefore holds in
pieces of time, and in each piece it leaves alone the segments that a stronger one charges.
(source: reference 2.2 segments and wildcards, 2.4, 3.2; the order among pricings is our decision.)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from tallystick.core.aggregation import Aggregation
from tallystick.core.catalog import Pricing
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.core.period import Instant, Period, intersect, stretch

WILDCARD = "*"

Priceable = Aggregation | CompoundAggregation  # what a pricing is for

# Per segmented field of the aggregation the value that is charged, or None for any; () when it has no segments.
Pattern = tuple[str | None, ...]


class Piece(NamedTuple):
    """A stretch of time in which a pricing holds, and the patterns that stronger pricings charge meanwhile.

    `contested` are the patterns that stronger pricings (by id) charge if their condition holds.
    """

    window: Period
    taken: tuple[Pattern, ...]
    contested: tuple[tuple[str, Pattern], ...] = ()


def segmented_fields(measured: Sequence[Aggregation]) -> tuple[str, ...]:
    """The fields that what is measured for a price is split by: those that all aggregations have in common.

    A compound aggregation is split where its aggregations are all split by the same fields; the first says in which
    order (docs/decisions/0191-segments-of-compound-aggregations.md).
    """
    first = measured[0].segmented_fields or ()
    return first if all(set(each.segmented_fields or ()) == set(first) for each in measured) else ()


def shared_segments(measured: Sequence[Aggregation]) -> tuple[dict[str, str], ...]:
    """The segments that a price may name: of one aggregation, its own; of several, those that one of them has and all
    others have too, or cover by a wildcard. Each has its fields in the order of `segmented_fields`."""
    fields = segmented_fields(measured)
    known = [[tuple(segment[field] for field in fields) for segment in each.segments or ()] for each in measured]
    everywhere = [
        segment
        for segment in dict.fromkeys(segment for own in known for segment in own)
        if all(any(_stands_for(other, segment) for other in own) for own in known)
    ]
    return tuple(dict(zip(fields, segment, strict=True)) for segment in everywhere) if fields else ()


def _stands_for(one: Sequence[str], other: Sequence[str]) -> bool:
    return all(a in {b, WILDCARD} for a, b in zip(one, other, strict=True))


def pattern_of(pricing: Pricing, fields: Sequence[str]) -> Pattern:
    """The segments a pricing is for. A field that it leaves out, or gives as `*`, stands for any value."""
    values = pricing.segment or {}
    return tuple(None if values.get(field, WILDCARD) == WILDCARD else values[field] for field in fields)


def matches(pattern: Pattern, segment: Sequence[str]) -> bool:
    """Whether a pattern stands for the segment with these values."""
    return all(want is None or want == value for want, value in zip(pattern, segment, strict=True))


def named(pattern: Pattern) -> tuple[str, ...] | None:
    """The one segment that a pattern without wildcards stands for; None when it stands for many."""
    values = tuple(want for want in pattern if want is not None)
    return values if len(values) == len(pattern) else None


def charges(piece: Piece, pattern: Pattern, segment: Sequence[str]) -> bool:
    """Whether a pricing with this pattern charges a segment in this piece of time."""
    return matches(pattern, segment) and not any(matches(other, segment) for other in piece.taken)


def pieces_of(pricing: Entity[Pricing], among: Sequence[Entity[Pricing]], fields: Sequence[str]) -> tuple[Piece, ...]:
    """The pieces of time in which a pricing holds among all the pricings of its plan and template, in order. `fields`
    are those that what it prices is split by."""
    pattern, window = pattern_of(pricing.value, fields), _window(pricing)
    stronger = [
        (_window(other), pattern_of(other.value, fields), other.id if other.value.condition else None)
        for other in among
        if _competes(other.value, pricing.value) and _strength(other, fields) > _strength(pricing, fields)
    ]
    rivals = [each for each in stronger if intersect(each[0], window) and overlaps(each[1], pattern)]
    edges = {window.start, window.end}
    edges |= {edge for when, *_ in rivals for edge in when if window.start < edge < window.end}
    found: list[Piece] = []
    for part in (Period(start, end) for start, end in pairwise(sorted(edges))):
        here = [(what, id_) for when, what, id_ in rivals if intersect(when, part)]
        taken = tuple(sorted({what for what, id_ in here if id_ is None}, key=_sortable))
        contested = tuple(sorted(((id_, what) for what, id_ in here if id_ is not None), key=lambda each: each[0]))
        if any(covers(other, pattern) for other in taken):
            continue
        last = found[-1] if found else None
        if last and last.window.end == part.start and (last.taken, last.contested) == (taken, contested):
            found[-1] = last._replace(window=Period(last.window.start, part.end))
        else:
            found.append(Piece(part, taken, contested))
    return tuple(found)


def clip(pieces: Sequence[Piece], to: Period | None) -> list[Piece]:
    """The parts of the pieces that lie inside a period."""
    if to is None:
        return []
    parts = ((piece, intersect(piece.window, to)) for piece in pieces)
    return [piece._replace(window=window) for piece, window in parts if window]


def segment_map(fields: Sequence[str], values: Sequence[str]) -> dict[str, str] | None:
    """The values of a segment by field code; None where the aggregation is charged as one."""
    return dict(zip(fields, values, strict=True)) if values else None


def _window(pricing: Entity[Pricing]) -> Period:
    return stretch(pricing.value.start_date, pricing.value.end_date)


def _competes(one: Pricing, other: Pricing) -> bool:
    same = one.aggregation_id == other.aggregation_id and one.compound_aggregation_id == other.compound_aggregation_id
    return same and one.type is other.type


def _strength(pricing: Entity[Pricing], fields: Sequence[str]) -> tuple[tuple[int, bool, bool], int, Instant, str]:
    return _rank(pricing.value, fields), -pricing.value.condition_order, pricing.value.start_date, pricing.id


def _rank(pricing: Pricing, fields: Sequence[str]) -> tuple[int, bool, bool]:
    fixed = sum(want is not None for want in pattern_of(pricing, fields))
    return fixed, pricing.plan_id is not None, pricing.condition is not None


def outranks(one: Pricing, other: Pricing, fields: Sequence[str]) -> bool:
    """Whether a pricing charges in place of another of the same usage whenever both hold, whenever they start."""
    return _rank(one, fields) > _rank(other, fields)


def overlaps(one: Pattern, other: Pattern) -> bool:
    """Whether there are segments that both patterns stand for."""
    return all(a is None or b is None or a == b for a, b in zip(one, other, strict=True))


def covers(one: Pattern, other: Pattern) -> bool:
    """Whether a pattern stands for every segment that another one stands for."""
    return all(a is None or a == b for a, b in zip(one, other, strict=True))


def _sortable(pattern: Pattern) -> list[str]:
    return ["" if want is None else "=" + want for want in pattern]
