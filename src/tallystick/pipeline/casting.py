"""Rate the account periods of a run: those that are alike from a mould (`core.mould`), all others one by one.

What comes out is the same. Only new bills are cast: where one is stored already, or adjusts an earlier one, the lines
themselves are needed. Those that credit pays for are finished where they are settled (`core.mould.Blank`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.core.alike import likeness, lives_count
from tallystick.core.bill import body_of, document_keys
from tallystick.core.bill_job import BillFailure
from tallystick.core.cast import Booking, Cast, Owner, made_whole, owner_of
from tallystick.core.ledger import Opening
from tallystick.core.mould import Blank, Mould
from tallystick.core.moulding import mould_of
from tallystick.core.plain_account import Group, by_start, follows, of_one_life, owner
from tallystick.core.quantity import ONE, ZERO
from tallystick.core.rating import questions
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.core.uses import prices_ended
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run, credits_of, entries_drawn, finished, keeps_approved, made_of
from tallystick.pipeline.last_bills import with_bills
from tallystick.pipeline.late_usage import looks_of, with_adjustments
from tallystick.pipeline.ledger import read_book
from tallystick.pipeline.lookback import Look
from tallystick.pipeline.meter import Measurements, measure, measure_alike
from tallystick.pipeline.placing import stored_bills
from tallystick.pipeline.plain import plain_groups
from tallystick.pipeline.rate import Rated, failure_of, load_terms, rated_of, with_draws
from tallystick.ports import OrganizationRecords, OrganizationUsage
from tallystick.ports.usage import Measuring

FEWEST = 4  # bills that are worth a mould: to make one costs about as much as three bills

NOTHING_AHEAD: Mapping[int, Cast] = {}

Result = Rated | Cast | Blank | BillFailure


def rate_for_bills(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    periods: Sequence[AccountPeriod],
    run: Run,
    ahead: Mapping[int, Cast] = NOTHING_AHEAD,
    *,
    with_terms: bool = True,
) -> list[Result]:
    """Account periods rated, with their adjustments of earlier bills, in their order; new plain ones as cast bills.
    `ahead` are those that were cast already (`made_ahead`), by their places. `with_terms`: each cast bill has those
    that it was made of."""
    free = [place for place in range(len(periods)) if place not in ahead]
    plain = {} if with_terms else _cast_plain(records, usage, [periods[place] for place in free], run)
    done: dict[int, Result] = {**ahead, **{free[place]: each for place, each in plain.items()}}
    rest = [place for place in free if place not in done]
    done |= zip(rest, _rate(records, usage, [periods[place] for place in rest], run), strict=True)
    return [done[place] for place in range(len(periods))]


def _rate(
    records: OrganizationRecords, usage: OrganizationUsage, periods: Sequence[AccountPeriod], run: Run
) -> list[Result]:
    found = load_terms(records, periods)
    every = {each.bill_id: each for each in found if isinstance(each, Terms)}
    looks, new = _looks_and_new(records, usage, every, run)
    moulds = _moulds([each for id_, each in every.items() if id_ in new], run)
    asked = {id_: moulds[id_].questions if id_ in moulds else questions(each, run.up_to) for id_, each in every.items()}
    measured = _measured(usage, every, asked)
    moulds = _proven(moulds, every, measured, run)
    done: dict[str, Result] = {}
    for id_, terms in every.items():
        own = measured[terms.account.id]
        cast = _from_mould(moulds[id_], terms, own, looks.get(id_)) if id_ in moulds else None
        done[id_] = rated_of(terms, asked[id_], own, run.up_to) if cast is None else cast
    singly = {id_: each for id_, each in done.items() if not isinstance(each, Cast | Blank)}
    adjusted = with_adjustments(records, usage, list(singly.values()), up_to=run.up_to, looks=looks)
    done.update(zip(singly, adjusted, strict=True))
    return [done[each.bill_id] if isinstance(each, Terms) else each for each in found]


def made_ahead(
    records: OrganizationRecords, usage: Measuring, periods: Sequence[AccountPeriod], run: Run
) -> dict[int, Cast]:
    """Those of the bills of `rate_for_bills` that can be made before they are settled, by their places: those that are
    cast, and other new ones of which nobody else has a say. Credit is drawn as the ledger stands."""
    plain = _cast_plain(records, usage, periods, run)
    done = {place: each for place, each in plain.items() if isinstance(each, Cast)}
    rest = [place for place in range(len(periods)) if place not in plain]
    others = _others_ahead(records, usage, [periods[place] for place in rest], run)
    return done | {rest[place]: each for place, each in others.items()}


def _others_ahead(
    records: OrganizationRecords, usage: Measuring, periods: Sequence[AccountPeriod], run: Run
) -> dict[int, Cast]:
    every = {each.bill_id: each for each in load_terms(records, periods) if isinstance(each, Terms)}
    looks, new = _looks_and_new(records, usage, every, run)
    bills = Counter(each.account_id for each in periods)
    alone = {id_ for id_ in new - looks.keys() if bills[every[id_].account.id] == 1 and _stands_alone(every[id_])}
    moulds = _moulds([each for id_, each in every.items() if id_ in alone or (id_ in new and not each.credits)], run)
    whole = {id_: each for id_, each in every.items() if id_ in alone and id_ not in moulds}
    asked = {id_: questions(each, run.up_to) for id_, each in whole.items()}
    asked |= {id_: mould.questions for id_, mould in moulds.items()}
    measured = _measured(usage, {id_: every[id_] for id_ in asked}, asked)
    moulds = _proven(moulds, every, measured, run)
    made: list[Result | None] = [
        _from_mould(mould, every[id_], measured[every[id_].account.id], looks.get(id_)) for id_, mould in moulds.items()
    ]
    made += [rated_of(each, asked[id_], measured[each.account.id], run.up_to) for id_, each in whole.items()]
    drawn = _finished(records, [each for each in made if isinstance(each, Rated | Blank)], run)
    by_key = {each.of.key: each for each in (*made, *drawn) if isinstance(each, Cast)}
    places = ((place, by_key.get(each.key)) for place, each in enumerate(periods))
    return {place: each for place, each in places if each is not None}


def _stands_alone(terms: Terms) -> bool:
    """Whether a bill says nothing of others, and others nothing of it, until it is settled."""
    agreed, account = terms.agreements, terms.account
    if agreed.charges or agreed.memos or agreed.levels or agreed.before or account.value.parent_account_id:
        return False
    return all(each.entity.value.account_id == account.id for each in terms.credits)


def _finished(records: OrganizationRecords, every: Sequence[Rated | Blank], run: Run) -> Iterator[Cast]:
    """New bills whose credit is drawn; those that come to nothing are left out, for there is more to keep of them."""
    if not every:
        return
    config = every[0].terms.config.value
    book = read_book(records, credits_of(every, ()), keep_approved=keeps_approved(config, run))
    for each in every:
        ids = tuple(credit.id for credit in each.terms.credits)
        state, openings = book.state(ids), book.openings(each.terms)
        try:
            if isinstance(each, Blank):
                cast, entries = finished(each, openings, run)
                yield msgspec.structs.replace(cast, booking=Booking(tuple(entries), ids, state))
                continue
            drawn = with_draws(each, openings)
        except Refusal:
            continue  # it is refused where it is settled
        record, as_written = made_of(drawn, run)
        if record.bill.line_items:
            booking = Booking(tuple(entries_drawn(record, drawn)), ids, state) if ids else None
            yield made_whole(record, as_written, each.terms, booking)


def _looks_and_new(
    records: OrganizationRecords, usage: Measuring, every: Mapping[str, Terms], run: Run
) -> tuple[dict[str, Look], set[str]]:
    """What bills look at of earlier ones, by their ids; and those (ids) that are new and have nothing to see there:
    they can be cast."""
    past = with_bills(records, sorted({each.account.id for each in every.values()}))
    looking = {id_: each for id_, each in every.items() if each.account.id in past or each.of.grouping}
    looks = looks_of(records, usage, looking.values(), up_to=run.up_to)
    seeing = {id_ for id_, look in looks.items() if look.bills}
    return looks, every.keys() - stored_bills(records, looking).keys() - seeing


def _measured(
    usage: Measuring, every: Mapping[str, Terms], asked: Mapping[str, Sequence[Question]]
) -> dict[str, Measurements]:
    """What the usage store answers, by account; an account may have several bills."""
    together: dict[str, dict[Question, None]] = {}
    for id_, terms in every.items():
        together.setdefault(terms.account.id, {}).update(dict.fromkeys(asked[id_]))
    return measure(usage, together)


def _from_mould(
    mould: Mould, terms: Terms, measured: Measurements, look: Look | None = None
) -> Cast | Blank | BillFailure | None:
    """The bill from a mould, given what it looks at, if anything; None for an empty one that is to be suppressed, for
    which there is more to keep."""
    whose = owner_of(terms, look.revisits if look else ())
    rows = [measured[each] for each in mould.questions]
    return _blank(mould, whose, rows, terms) if terms.credits else _filled(mould, whose, rows, terms)


def _filled(
    mould: Mould, whose: Owner, rows: Sequence[tuple[Measured, ...]], terms: Terms | None = None
) -> Cast | BillFailure | None:
    try:
        cast = mould.cast(whose, rows, terms)
    except Refusal as refusal:
        return failure_of(whose.of, refusal)
    return cast if cast.lines or not cast.config.suppressed_empty_bills else None


def _blank(
    mould: Mould, whose: Owner, rows: Sequence[tuple[Measured, ...]], terms: Terms
) -> Blank | BillFailure | None:
    """The bill from a mould before its credit is drawn."""
    try:
        numbers = mould.numbers(whose, rows)
    except Refusal as refusal:
        return failure_of(terms.of, refusal)
    if not numbers.ids and terms.config.value.suppressed_empty_bills:
        return None
    return Blank(mould, whose, tuple(rows), numbers, terms)


# ------------------------------------------------------------------------------------------------------ plain accounts


def _cast_plain(
    records: OrganizationRecords, usage: Measuring, periods: Sequence[AccountPeriod], run: Run
) -> dict[int, Cast | BillFailure]:
    """The new bills of plain accounts (`pipeline.plain`), by their places: of those that are alike what was agreed is
    read for one. Those that cannot be cast are left out."""
    together: dict[tuple[Question, ...], list[tuple[Mould, Group]]] = {}  # by what is asked
    for group, terms in _plain_alike(records, periods, plain_groups(records, usage, periods, up_to=run.up_to)):
        if (mould := _mould(terms, run)) is not None:
            alike = of_one_life(group) if lives_count(terms.account_plans[0]) else group
            together.setdefault(mould.questions, []).append((mould, alike))
    done: dict[int, Cast | BillFailure] = {}
    for asked, some in together.items():
        answers = measure_alike(usage, asked, [account.id for _, group in some for _, account in group])
        for mould, group in some:
            done |= _cast_group(mould, group, periods, answers, run)
    return done


def _plain_alike(
    records: OrganizationRecords, periods: Sequence[AccountPeriod], groups: Sequence[Group]
) -> Iterator[tuple[Group, Terms]]:
    """Those of the groups, or parts of them, whose bills are alike, with the terms of the first of each."""
    parts: list[Group] = []
    wanted = [each for each in groups if len(each) >= FEWEST]
    for group, terms in zip(wanted, load_terms(records, [periods[each[0][0]] for each in wanted]), strict=True):
        if isinstance(terms, Terms) and likeness(terms) is not None and follows(terms, group[0][1].past):
            first, *others = by_start(group, prices_ended(terms.account_plans[0]))
            yield first, terms
            parts += [each for each in others if len(each) >= FEWEST]
    of_parts = load_terms(records, [periods[each[0][0]] for each in parts]) if parts else []
    for group, terms in zip(parts, of_parts, strict=True):
        if isinstance(terms, Terms) and likeness(terms) is not None and follows(terms, group[0][1].past):
            yield group, terms


def _cast_group(
    mould: Mould,
    group: Group,
    periods: Sequence[AccountPeriod],
    answers: Sequence[Mapping[str, tuple[Measured, ...]]],
    run: Run,
) -> dict[int, Cast | BillFailure]:
    """The bills of one mould, by their places; none where the first does not come out as it does when it is rated."""
    organization_id, first = mould.pattern.organization_id, group[0][1].id
    measured = {question: rows.get(first, ()) for question, rows in zip(mould.questions, answers, strict=True)}
    if not _proves(mould, mould.pattern, measured, run):
        return {}
    found = (
        (
            place,
            _filled(mould, owner(each, periods[place], organization_id), [rows.get(each.id, ()) for rows in answers]),
        )
        for place, each in group
    )
    return {place: each for place, each in found if each is not None}


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
    """The mould of bills of these terms, from one that has used one of everything and has no credit; None where there
    is none."""
    terms = msgspec.structs.replace(terms, credits=()) if terms.credits else terms
    asked = questions(terms, run.up_to)
    one = (Measured(account_id=terms.account.id, total=ONE, count=1),)
    rated = rated_of(terms, asked, dict.fromkeys(asked, one), run.up_to)
    if isinstance(rated, BillFailure):
        return None
    numbered = bool(terms.config.value.bill_prefix)
    return mould_of(made_of(rated, run)[0], rated.lines, terms, asked, numbered=numbered)


def _proven(
    moulds: Mapping[str, Mould], every: Mapping[str, Terms], measured: Mapping[str, Measurements], run: Run
) -> dict[str, Mould]:
    """The moulds whose first bill comes out as it does when it is rated by itself; with credit and without."""
    proven: dict[tuple[int, bool], bool] = {}
    for id_, mould in moulds.items():
        terms = every[id_]
        if (which := (id(mould), bool(terms.credits))) not in proven:
            proven[which] = _proves(mould, terms, measured[terms.account.id], run)
    return {id_: mould for id_, mould in moulds.items() if proven[id(mould), bool(every[id_].credits)]}


def _proves(mould: Mould, terms: Terms, measured: Measurements, run: Run) -> bool:
    """Whether the bill of these terms from a mould is the one that it is when it is rated by itself."""
    cast = _from_mould(mould, terms, measured)
    if cast is None:
        return True
    rated = rated_of(terms, mould.questions, measured, run.up_to)
    if isinstance(rated, BillFailure) or isinstance(cast, BillFailure):
        return rated == cast
    if isinstance(cast, Blank):
        # As if there were a little of each credit: not enough, most of the time.
        openings = {each.id: Opening(credit_id=each.id, value=ONE, rolled=ZERO) for each in terms.credits}
        try:
            (cast, draws), rated = cast.drawn(openings), with_draws(rated, openings)
        except Refusal:
            return False  # what cannot be drawn so may be drawn otherwise: each by itself
        if draws != rated.draws:
            return False
    record = made_of(rated, run)[0]
    number = "1" if terms.config.value.bill_prefix else None
    bill = msgspec.structs.replace(record.bill, sequential_invoice_number=number)
    keys, body = document_keys(bill, terms.of.grouping), body_of(msgspec.structs.replace(record, bill=bill))
    return (cast.stored(number)[0], cast.body(number)) == (keys, body)
