"""The measurements that the load sends, made from a seed, and what they must add up to.

Bodies are encoded once, as a few templates. Before each sending only the first eight characters of the uids are
filled in, so that the client costs little and no uid is sent twice by chance. What must be answered is made the same
way, so that an answer that is right word for word need not be looked through. In every body of 1,000:

990  are new;
5    repeat members of the body before on the same connection, just acknowledged;
5    repeat members of the warm-up, long in the index.

Sums are kept as whole numbers (thousandths for decimals), away from the product's own arithmetic.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

METER = "requests"
MARKERS = "markers"  # the meter of the measurements that probe how soon they are visible
SIZE = 1_000  # measurements in a body
REPEATED = 5  # members that repeat the body before; as many repeat the warm-up
FRESH = SIZE - 2 * REPEATED
WARM = range(REPEATED, 2 * REPEATED)  # the members of the warm-up that are repeated
TEMPLATES = 20
OWN = b"@@own@@@"
BEFORE = b"@before@"
MODELS = ("small", "medium", "large")
REGIONS = ("eu-west-1", "us-east-1", "ap-south-1")


@dataclass
class Totals:
    """What was accepted: measurements, calls and thousandths of seconds, of everyone and by account code."""

    count: int = 0
    calls: int = 0
    thousandths: int = 0
    count_by_account: Counter[str] = field(default_factory=Counter)
    calls_by_account: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Member:
    account: str
    calls: int
    thousandths: int
    rest: str  # the JSON after the uid

    def text(self, prefix: str, place: int) -> str:
        return f'{{"uid":"{_uid(prefix, place)}",{self.rest}}}'


class Template:
    """A text in which the prefixes of uids are still to be filled in."""

    def __init__(self, text: bytes) -> None:
        """With OWN and BEFORE where they go."""
        self._text = text
        self._own, self._before = (
            np.array([found.start() for found in re.finditer(each, text)]) for each in (OWN, BEFORE)
        )

    def filled(self, own: bytes, before: bytes) -> bytearray:
        """The text with these prefixes."""
        text = bytearray(self._text)
        words = np.ndarray((len(text) - len(OWN) + 1,), f"V{len(OWN)}", text, 0, (1,))  # from each byte on
        for places, prefix in ((self._own, own), (self._before, before)):
            words[places] = np.frombuffer(prefix, words.dtype)
        return text


@dataclass(frozen=True)
class Traffic:
    """Traffic of so many accounts in the hour before `until` (ISO 8601, UTC)."""

    until: str
    accounts: int
    seed: int = 1

    @cached_property
    def templates(self) -> list[bytes]:
        """The bodies, with OWN and BEFORE where the prefixes go."""
        members = self._members
        bodies = []
        for number, own in enumerate(members):
            before = members[number - 1]
            texts = [member.text(OWN.decode(), place) for place, member in enumerate(own)]
            texts += [before[place].text(BEFORE.decode(), place) for place in range(REPEATED)]
            texts += [own[place].text(warm_prefix(number).decode(), place) for place in WARM]
            bodies.append(_body(texts))
        return bodies

    @cached_property
    def answers(self) -> list[bytes]:
        """What must be answered to each of the bodies, likewise with OWN and BEFORE."""
        return [_answer(number) for number in range(TEMPLATES)]

    @cached_property
    def warm_up(self) -> list[bytes]:
        """Bodies to send once, before the others: every account, and what the others repeat."""
        return [
            _body([member.text(warm_prefix(number).decode(), place) for place, member in enumerate(own)])
            for number, own in enumerate(self._members)
        ]

    def totals(self, sent: Sequence[int]) -> Totals:
        """What must have been accepted after the warm-up and `sent[n]` sendings of the n-th template."""
        totals = Totals()
        for times, members in zip(sent, self._members, strict=True):
            counted = times + 1  # the warm-up sends each once
            totals.count += counted * FRESH
            for member in members:
                totals.calls += counted * member.calls
                totals.thousandths += counted * member.thousandths
                totals.count_by_account[member.account] += counted
                totals.calls_by_account[member.account] += counted * member.calls
        return totals

    def single(self, number: int) -> bytes:
        """A body of one measurement; its uid is the number's, below 10^8."""
        member = self._members[0][number % FRESH]
        return _body([member.text(f"{number:08d}", 0)])

    @cached_property
    def _members(self) -> list[list[_Member]]:
        chance = random.Random(self.seed)
        names = [f"account-{number:06d}" for number in range(self.accounts)]
        chance.shuffle(names)
        end = datetime.fromisoformat(self.until).astimezone(UTC)
        return [
            [_member(chance, names[(number * FRESH + place) % len(names)], end) for place in range(FRESH)]
            for number in range(TEMPLATES)
        ]


def sending_prefix(connection: int, number: int) -> bytes:
    """The prefix of the uids of the n-th body on a connection; number −1 is the last of the warm-up."""
    return b"%02d%06d" % (connection, number) if number >= 0 else warm_prefix(TEMPLATES - 1)


def warm_prefix(template: int) -> bytes:
    """The prefix of the uids of a warm-up body."""
    return b"w%07d" % template


def marker(number: int, ts: str) -> bytes:
    """A body of one measurement that is recognised in a count."""
    rest = f'"meter":"{MARKERS}","account":"probe","ts":"{ts}","measure":{{"calls":1}}'
    return _body([f'{{"uid":"marker-{number}",{rest}}}'])


def _member(chance: random.Random, account: str, end: datetime) -> _Member:
    calls, thousandths = chance.randint(10, 99), chance.randint(10_001, 99_998)
    ts = (end - timedelta(milliseconds=chance.randrange(1, 3_600_000))).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    rest = (
        f'"meter":"{METER}","account":"{account}","ts":"{ts}Z",'
        f'"what":{{"model":"{chance.choice(MODELS)}"}},"where":{{"region":"{chance.choice(REGIONS)}"}},'
        f'"measure":{{"calls":{calls},"seconds":{thousandths // 1000}.{thousandths % 1000:03d}}}'
    )
    return _Member(account, calls, thousandths, rest)


def _answer(number: int) -> bytes:
    uids = [_uid(OWN.decode(), place) for place in range(FRESH)]
    uids += [_uid(BEFORE.decode(), place) for place in range(REPEATED)]
    uids += [_uid(warm_prefix(number).decode(), place) for place in WARM]
    verdicts = ["accepted"] * FRESH + ["duplicate"] * (2 * REPEATED)
    told = [
        f'{{"index":{index},"uid":"{uid}","verdict":"{verdict}"}}'
        for index, (uid, verdict) in enumerate(zip(uids, verdicts, strict=True))
    ]
    return ('{"result":"accepted","measurements":[' + ",".join(told) + "]}").encode()


def _uid(prefix: str, place: int) -> str:
    return f"{prefix}-4c1e-4f6a-{place:04d}"


def _body(members: Sequence[str]) -> bytes:
    return ('{"measurements":[' + ",".join(members) + "]}").encode()
