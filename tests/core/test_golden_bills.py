"""The bills in tests/golden stay as they are, and come to what was reckoned by hand."""

from __future__ import annotations

import pytest

from golden_bills import ALL, FILES, Story, render
from golden_credits import CreditStory
from golden_families import FamilyStory
from tallystick.core.quantity import total

BY_NAME = [pytest.param(story, id=story.name) for story in ALL]


@pytest.mark.parametrize("story", BY_NAME)
def test_total_reckoned_by_hand(story: Story | CreditStory | FamilyStory) -> None:
    _, lines = story.bill()
    assert f"{total(line.item.converted_subtotal for line in lines):.2f}" == story.total


@pytest.mark.parametrize("story", BY_NAME)
def test_bill_reads_as_the_golden_file(story: Story | CreditStory | FamilyStory) -> None:
    assert render(story) == (FILES / f"{story.name}.txt").read_text(encoding="utf-8")


def test_every_golden_file_has_its_story() -> None:
    assert {path.stem for path in FILES.glob("*.txt")} == {story.name for story in ALL}
