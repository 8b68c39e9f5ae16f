"""Rate the account periods of a run: those that are alike from a mould (`core.mould`), all others one by one.

What comes out is the same. Only new bills are cast: where one is stored already, or adjusts an earlier one, the lines
themselves are needed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.core.alike import likeness
from tallystick.core.bill import body_of, document_keys
from tallystick.core.bill_job import BillFailure
from tallystick.core.mould import Cast, Mould, mould_of
from tallystick.core.quantity import ONE
from tallystick.core.rating import questions
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run, made_of
from tallystick.pipeline.late_usage import looks_of, with_adjustments
from tallystick.pipeline.lookback import Look
from tallystick.pipeline.meter import Measurements, measure
from tallystick.pipeline.placing import stored_bills
from tallystick.pipeline.rate import Rated, failure_of, load_terms, rated_of
from tallystick.ports import OrganizationRecords, OrganizationUsage
from tallystick.ports.usage import Measuring

FEWEST = 4  # bills that are worth a mould: to make one costs about as much as three bills

NOTHING_AHEAD: Mapping[int, Cast] = {}

Result = Rated | Cast | BillFailure


def rate_for_bills(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    periods: Sequence[AccountPeriod],
    run: Run,
    ahead: Mapping[int, Cast] = NOTHING_AHEAD,
) -> list[Result]:
    """Account periods rated, with their adjustments of earlier bills, in their order; new plain ones as cast bills.
    `ahead` are those that were cast already (`cast_bills`), by their places."""
    rest = [each for place, each in enumerate(periods) if place not in ahead]
    rated = iter(_rate(records, usage, rest, run))
    return [ahead[place] if place in ahead else next(rated) for place in range(len(periods))]


def _rate(
    records: OrganizationRecords, usage: OrganizationUsage, periods: Sequence[AccountPeriod], run: Run
) -> list[Result]:
    found = load_terms(records, periods)
    every = {each.bill_id: each for each in found if isinstance(each, Terms)}
    looks, moulds = _looks_and_moulds(records, usage, every, run)
    asked = {id_: moulds[id_].questions if id_ in moulds else questions(each, run.up_to) for id_, each in every.items()}
    measured = _measured(usage, every, asked)
    moulds = _proven(moulds, every, measured, run)
    done: dict[str, Result] = {}
    for id_, terms in every.items():
        own = measured[terms.account.id]
        cast = _cast(moulds[id_], terms, own) if id_ in moulds else None
        done[id_] = rated_of(terms, asked[id_], own, run.up_to) if cast is None else cast
    singly = {id_: each for id_, each in done.items() if not isinstance(each, Cast)}
    adjusted = with_adjustments(records, usage, list(singly.values()), up_to=run.up_to, looks=looks)
    done.update(zip(singly, adjusted, strict=True))
    return [done[each.bill_id] if isinstance(each, Terms) else each for each in found]


def cast_bills(
    records: OrganizationRecords, usage: Measuring, periods: Sequence[AccountPeriod], run: Run
) -> dict[int, Cast]:
    """Those of the bills of `rate_for_bills` that are cast, by their places in the account periods."""
    every = {each.bill_id: each for each in load_terms(records, periods) if isinstance(each, Terms)}
    _, moulds = _looks_and_moulds(records, usage, every, run)
    measured = _measured(usage, {id_: every[id_] for id_ in moulds}, {id_: m.questions for id_, m in moulds.items()})
    cast: dict[str, Cast] = {}
    for id_, mould in _proven(moulds, every, measured, run).items():
        one = _cast(mould, every[id_], measured[every[id_].account.id])
        if isinstance(one, Cast):
            cast[one.of.key] = one
    places = ((place, cast.get(each.key)) for place, each in enumerate(periods))
    return {place: one for place, one in places if one is not None}


def _looks_and_moulds(
    records: OrganizationRecords, usage: Measuring, every: Mapping[str, Terms], run: Run
) -> tuple[dict[str, Look], dict[str, Mould]]:
    """What bills look at of earlier ones, and the moulds of those that can be cast, by their ids."""
    looks = looks_of(records, usage, every.values(), up_to=run.up_to)
    made = stored_bills(records, every).keys() | looks.keys()
    return looks, _moulds([each for id_, each in every.items() if id_ not in made], run)


def _measured(
    usage: Measuring, every: Mapping[str, Terms], asked: Mapping[str, Sequence[Question]]
) -> dict[str, Measurements]:
    """What the usage store answers, by account; an account may have several bills."""
    together: dict[str, dict[Question, None]] = {}
    for id_, terms in every.items():
        together.setdefault(terms.account.id, {}).update(dict.fromkeys(asked[id_]))
    return measure(usage, together)


def _cast(mould: Mould, terms: Terms, measured: Measurements) -> Cast | BillFailure | None:
    """The bill from a mould; None for an empty one that is to be suppressed, for which there is more to keep."""
    try:
        cast = mould.cast(terms, [measured[each] for each in mould.questions])
    except Refusal as refusal:
        return failure_of(terms.of, refusal)
    return cast if cast.lines or not terms.config.value.suppressed_empty_bills else None


# ------------------------------------------------------------------------------------------------------ moulds


def _moulds(every: Sequence[Terms], run: Run) -> dict[str, Mould]:
    """Moulds for bills of which there are several alike, by the ids of the bills."""
    alike: dict[Hashable, list[Terms]] = {}
    for terms in every:
        if (key := likeness(terms)) is not None:
            alike.setdefault(key, []).append(terms)
    found: dict[str, Mould] = {}
    for group in alike.values():
        mould = _mould(group[0], run) if len(group) >= FEWEST else None
        if mould is not None:
            found |= dict.fromkeys((each.bill_id for each in group), mould)
    return found


def _mould(terms: Terms, run: Run) -> Mould | None:
    """The mould of bills of these terms, from one that has used one of everything; None where there is none."""
    asked = questions(terms, run.up_to)
    one = (Measured(account_id=terms.account.id, total=ONE, count=1),)
    rated = rated_of(terms, asked, dict.fromkeys(asked, one), run.up_to)
    if isinstance(rated, BillFailure):
        return None
    numbered = bool(terms.config.value.bill_prefix)
    return mould_of(made_of(rated, run)[0], terms, asked, numbered=numbered)


def _proven(
    moulds: Mapping[str, Mould], every: Mapping[str, Terms], measured: Mapping[str, Measurements], run: Run
) -> dict[str, Mould]:
    """The moulds whose first bill comes out as it does when it is rated by itself."""
    proven: dict[int, bool] = {}
    for id_, mould in moulds.items():
        if id(mould) not in proven:
            terms = every[id_]
            cast = _cast(mould, terms, measured[terms.account.id])
            proven[id(mould)] = cast is None or _as_if_rated(cast, terms, mould, measured[terms.account.id], run)
    return {id_: mould for id_, mould in moulds.items() if proven[id(mould)]}


def _as_if_rated(cast: Cast | BillFailure, terms: Terms, mould: Mould, measured: Measurements, run: Run) -> bool:
    rated = rated_of(terms, mould.questions, measured, run.up_to)
    if isinstance(rated, BillFailure) or isinstance(cast, BillFailure):
        return rated == cast
    record = made_of(rated, run)[0]
    number = "1" if terms.config.value.bill_prefix else None
    bill = msgspec.structs.replace(record.bill, sequential_invoice_number=number)
    keys, body = document_keys(bill, terms.of.grouping), body_of(msgspec.structs.replace(record, bill=bill))
    return cast.stored(number) == (keys, body)
