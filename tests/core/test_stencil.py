"""Texts are kept as what fills a stencil, and come back as they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.stencil import HOLE, MOST_PIECES, character, in_short, stencil_of

texts = st.text(st.characters(exclude_characters=HOLE, exclude_categories=["Cs"]))


def test_what_is_kept_of_a_text_is_its_pieces_and_what_fills_them() -> None:
    stencil = stencil_of([f'{{"of":"{HOLE}","lines":[', f'["{HOLE}",{HOLE}]', ",", f'],"total":{HOLE}}}'])
    head, line, between, tail = map(character, range(4))
    short = in_short(head + line + between + line + tail, ["Acme 100% \\u0001", "a", "1", "b", "2.50", "3.50"])
    whole = '{"of":"Acme 100% \\u0001","lines":[["a",1],["b",2.50]],"total":3.50}'
    assert stencil.whole(short) == whole
    assert short.count(HOLE) == 6


@given(st.data(), st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=200))
def test_any_text_of_any_pieces_comes_back(data: st.DataObject, pieces: list[list[str]]) -> None:
    stencil = stencil_of([HOLE.join(each) for each in pieces])
    chosen = data.draw(st.lists(st.integers(0, len(pieces) - 1), min_size=1, max_size=8))
    expected, values = "", []
    for place in chosen:
        expected += pieces[place][0]
        for around in pieces[place][1:]:
            values.append(data.draw(texts))
            expected += values[-1] + around
    assert stencil.whole(in_short("".join(map(character, chosen)), values)) == expected


def test_what_stands_for_a_piece_can_be_stored() -> None:
    characters = [character(place) for place in range(MOST_PIECES)]
    assert len(set(characters)) == MOST_PIECES
    assert not {"\0", HOLE} & set(characters)
    assert "".join(characters).encode().decode() == "".join(characters)  # none is half a surrogate pair


def test_stencils_are_known_by_their_pieces() -> None:
    assert stencil_of(["a", "bc"]).id != stencil_of(["ab", "c"]).id
    assert stencil_of(["a"]) == stencil_of(["a"])
