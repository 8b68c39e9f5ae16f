"""The answers that run on: which are kept, up to which journal position they hold, and how they get further."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from tallystick.core.aggregation import Measured, Question
from tallystick.core.running import OF_VALUES, Collected, Running, running
from tallystick.ports import OrganizationUsage
from tallystick.stores.running_usage.matching import Match, of_block, of_rows
from tallystick.stores.running_usage.recent import Added, Place, Recent

MOST_BYTES = 128 * 1024 * 1024  # of values, of all answers
MOST_ANSWERS = 10_000
MOST_VALUES = 2_000_000  # of one answer: 32 MB of UNIQUE, 48 MB of PERCENTILE. What has more is asked of the store.
MOST_AT_ONCE = 3_000  # measurements that are added one by one; of more the store collects what they come to

_ANSWER_BYTES, _PART_BYTES, _PLACE_BYTES = 1_000, 500, 250  # besides the values, about

Parts = dict[tuple[str, tuple[str, ...]], Running]  # by account and segment
Key = tuple[str, Question]  # organisation; the question with no journal position


class _Answer:
    """One answer. Whoever holds `lock` may look at it and take it further."""

    def __init__(self, places: list[Place]) -> None:
        self.lock = threading.Lock()
        self.places = places
        self.asked = False  # at least once
        self.too_many = False  # values
        self.parts: Parts | None = None
        self.up_to = 0
        self.size = 0

    def forget(self) -> None:
        self.parts = None


class Kept:
    """The answers of all organisations, by organisation and question. Any thread may ask."""

    def __init__(self, recent: Recent, most_bytes: int = MOST_BYTES, most_answers: int = MOST_ANSWERS) -> None:
        self._recent = recent
        self._most_bytes, self._most_answers = most_bytes, most_answers
        self._answers: OrderedDict[Key, _Answer] = OrderedDict()
        self._size = 0
        self._corrected: dict[str, int] = {}  # up to where the journal of an organisation takes something out
        self._lock = threading.Lock()

    def forget(self, organizations: Iterable[str], mark: int) -> None:
        """Something above the store's mark and up to this one takes out what was counted. What holds up to an earlier
        position does not go on from there: neither the answers that there are nor those that are being made."""
        with self._lock:
            self._corrected |= {each: max(mark, self._corrected.get(each, 0)) for each in organizations}

    def answer(self, usage: OrganizationUsage, organization_id: str, question: Question) -> Iterable[Measured]:
        """What the store behind would answer. The question names accounts, and the store is complete up to its
        position."""
        key = (organization_id, msgspec.structs.replace(question, up_to=0))
        answer = self._find(key)
        with answer.lock:
            try:
                if answer.up_to < self._corrected.get(organization_id, 0):
                    answer.forget()
                holds = self._advance(answer, usage, question)
            except BaseException:
                answer.forget()  # it may hold a part of what was added
                raise
            finally:
                self._weigh(key, answer)
            if holds and answer.parts is not None:
                return list(_measured(answer.parts))
        return usage.measure(question)

    def _advance(self, answer: _Answer, usage: OrganizationUsage, question: Question) -> bool:
        """Take the answer to the question's position; False where it cannot say what held there."""
        if answer.parts is not None and any(each.full for each in answer.parts.values()):
            answer.forget()
        if answer.parts is None:
            # Values are many: they are collected only for what is asked for again.
            if answer.too_many or (question.method in OF_VALUES and not answer.asked):
                answer.asked = True
                return False
            found = usage.collect(question, after=0, most=MOST_VALUES)
            if found is None:
                answer.too_many = True
                return False
            answer.parts, answer.up_to = {}, question.up_to
            _add(answer.parts, question, found)
        if question.up_to > answer.up_to:
            self._take_in(answer, answer.parts, usage, question)
        return question.up_to == answer.up_to

    def _take_in(
        self,
        answer: _Answer,
        parts: Parts,
        usage: OrganizationUsage,
        question: Question,
    ) -> None:
        added = self._recent.above(answer.places, answer.up_to)
        matches = _matches(added or (), answer.places, question, answer.up_to)
        fresh = list(islice(matches, MOST_AT_ONCE + 1))
        if added is not None and len(fresh) <= MOST_AT_ONCE:
            for match in fresh:
                _part(parts, question, match.account_id, match.segment).one(match.value, match.moment, match.uid)
        else:
            found = usage.collect(question, after=answer.up_to, most=MOST_VALUES)
            if found is None:
                answer.forget()
                answer.too_many = True
                return
            _add(parts, question, found)
        answer.up_to = question.up_to

    def _find(self, key: Key) -> _Answer:
        organization_id, question = key
        with self._lock:
            answer = self._answers.get(key)
            if answer is None:
                accounts = dict.fromkeys(question.accounts or ())
                places = [(organization_id, question.meter_id, account) for account in accounts]
                answer = self._answers[key] = _Answer(places)
                self._recent.follow(answer.places)
            self._answers.move_to_end(key)
            return answer

    def _weigh(self, key: Key, answer: _Answer) -> None:
        """Count what the answer has become, and let go of those that were not asked for the longest."""
        parts = answer.parts.values() if answer.parts is not None else ()
        size = _ANSWER_BYTES + _PLACE_BYTES * len(answer.places) + sum(each.size + _PART_BYTES for each in parts)
        with self._lock:
            if self._answers.get(key) is answer:
                self._size += size - answer.size
                answer.size = size
            while len(self._answers) > self._most_answers or (self._size > self._most_bytes and self._answers):
                _, dropped = self._answers.popitem(last=False)
                self._size -= dropped.size
                self._recent.leave(dropped.places)


def _matches(added: Iterable[Added], places: list[Place], question: Question, after: int) -> Iterator[Match]:
    for each in added:
        for place in places:
            yield from of_rows(each.rows.get(place, ()), question, after)
        for block in each.blocks:
            if (block.organization_id, block.meter_id) == places[0][:2]:
                yield from of_block(block, question, after)


def _add(parts: Parts, question: Question, found: Iterable[Collected]) -> None:
    for each in found:
        _part(parts, question, each.account_id, each.segment).more(each)


def _part(parts: Parts, question: Question, account_id: str, segment: tuple[str, ...]) -> Running:
    """The answer for an account and segment; a pool's for its first account."""
    holder = question.accounts[0] if question.pooled and question.accounts else account_id
    if (holder, segment) not in parts:
        parts[holder, segment] = running(question)
    return parts[holder, segment]


def _measured(parts: dict[tuple[str, tuple[str, ...]], Running]) -> Iterator[Measured]:
    for (account_id, segment), part in sorted(parts.items(), key=lambda item: item[0]):
        yield Measured(account_id=account_id, segment=segment, total=part.total, count=part.count, tally=part.tally)
