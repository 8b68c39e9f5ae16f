"""Files of measurements are cut into their members, whatever stands in them and wherever a window ends."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.pipeline.ingest import members
from tallystick.pipeline.ingest.members import NoMeasurements, beginning, cut, with_uid

PLAIN = '{"uid":"a","measure":{"tokens":1}}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def all_of(text: bytes, size: int = members.MAX_BYTES + 1) -> list[bytes]:
    file, found = io.BytesIO(text), []
    at, ended = beginning(file), False
    while not ended:
        part = cut(file, at, size)
        found += part.members
        at, ended = part.next, part.ended
    return found


@given(st.lists(JSON, max_size=6), st.sampled_from([None, 1, "\t"]), st.booleans(), st.integers(60, 200))
def test_members_are_those_of_the_list_however_it_is_written(
    values: list[object], indent: int | str | None, in_object: bool, more: int
) -> None:
    text = json.dumps({"measurements": values} if in_object else values, indent=indent, ensure_ascii=False)
    longest = max((len(json.dumps(each, indent=8)) for each in values), default=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "MAX_BYTES", 1)
        found = all_of(text.encode("utf-8", "surrogatepass"), 2 * longest + more)
    assert [json.loads(each) for each in found] == values


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"measurements":[]}', []),
        (" [ ] ", []),
        ("\ufeff[1]", ["1"]),
        (f'{{ "measurements" : [ {PLAIN} , {PLAIN} ] }}\n', [PLAIN, PLAIN]),
        ('[{"a":"]}\\"{"},{"b":{"c":{"d":[1,{}]}}}]', ['{"a":"]}\\"{"}', '{"b":{"c":{"d":[1,{}]}}}']),
        ("[{no json},NaN]", ["{no json}", "NaN"]),
    ],
)
def test_files_are_read_leniently_between_their_brackets(text: str, found: list[str]) -> None:
    assert all_of(text.encode()) == [each.encode() for each in found]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must begin"),
        ('{"usage":[]}', "must begin"),
        ("uid,meter\n", "must begin"),
        (f"[{PLAIN}", "breaks off in or behind the member at byte 1"),
        (f"[{PLAIN},", "breaks off in or behind the member at byte 36"),
        ('[{"a":1', "breaks off in or behind the member at byte 1"),
        ('["a', "breaks off in or behind the member at byte 1"),
        ("[1 2]", "a comma or ] must follow the member at byte 1"),
        ("[,]", "a member must not begin with ','"),
        ("[1]}", "must end behind the list, which ends at byte 3"),
        ('{"measurements":[1]', "must end behind the list"),
        ('{"measurements":[1],"more":2}', "must end behind the list"),
        ('["' + "x" * members.MAX_BYTES + '",1,"' + "y" * members.MAX_BYTES + '"]', "has more than 512,000 bytes"),
    ],
)
def test_what_is_wrong_between_members_is_wrong_with_the_file(text: str, why: str) -> None:
    with pytest.raises(NoMeasurements) as found:
        all_of(text.encode())
    assert why in str(found.value)


@pytest.mark.parametrize(
    ("member", "named"),
    [
        ('{"uid":"mine","meter":"m"}', '{"uid":"mine","meter":"m"}'),
        ('{"meter":"m","measure":{"uid":1}}', '{"uid":"row","meter":"m","measure":{"uid":1}}'),
        ('{"uid":null,"meter":"m"}', '{"uid":"row","meter":"m"}'),
        ('{"meter":"m","uid":""}', '{"uid":"row","meter":"m"}'),
        ('{"uid":7}', '{"uid":7}'),
        ("[1]", "[1]"),
        ("{no json}", "{no json}"),
    ],
)
def test_a_member_without_a_uid_is_given_one(member: str, named: str) -> None:
    assert with_uid(member.encode(), "row").decode() == named
