"""The story of a queue that is mended: seen by reason, corrected for all, tried, replayed, dismissed."""

from __future__ import annotations

import re
import time
from html import unescape

import httpx
import pytest
from storefront import read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

HOSTILE = "<script>alert(1)</script>\"'"
FIELDS = [
    {"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "1"},
    {"code": "model", "name": "Model", "category": "WHAT"},
]


def measurement(uid: str, **changes: object) -> dict[str, object]:
    whole: dict[str, object] = {"meter": "llm", "account": "acme", "ts": "2025-01-05T00:00:00Z"}
    return {"uid": uid, **whole, "measure": {"tokens": 5}, "what": {"model": "x"}, **changes}


@pytest.fixture
def queue(organization: Tenant, http: httpx.Client) -> Tenant:
    read(send(http, "POST", "/meters", {"name": "LLM", "code": "llm", "dataFields": FIELDS, "derivedFields": []}))
    texts = [measurement(f"t{number}", measure={"tokens": f"{number}"}) for number in range(3)]
    hostile = measurement(HOSTILE, meter=HOSTILE, account=HOSTILE, what={"model": HOSTILE})
    read(send(http, "POST", "/measurements", {"measurements": [*texts, hostile]}))
    return organization


def group_of(visitor: Visitor, label: str) -> str:
    found = re.search(rf'<a href="(/failed/groups/[^"]+)">{label}</a>', visitor.get("/failed"))
    assert found, "the group is listed"
    return found[1]


def until(visitor: Visitor, path: str, text: str) -> str:
    end = time.monotonic() + 20
    while text not in (page := visitor.get(path)):
        assert time.monotonic() < end, page[-3000:]
        time.sleep(0.05)
    return page


def test_all_of_a_group_are_tried_then_replayed(queue: Tenant, admin: Visitor, http: httpx.Client) -> None:
    path = group_of(admin, "Not a number")
    fix = {"readNumbers": "measure.tokens"}
    unfixed = admin.post(f"{path}/replay", {"try": "true"})
    assert unfixed.count("Fails again") == 3
    tried = admin.post(f"{path}/replay", {**fix, "try": "true"})
    assert tried.count("Would be accepted") == 3
    assert '"tokens":2}' in unescape(tried)
    assert 'value="measure.tokens"' in tried, "what was typed stays"
    assert "3 measurements are sent again." in admin.post(f"{path}/replay", fix)
    done = until(admin, path, ">Complete<")
    assert 'data-value="3">3</data> count now' in done
    groups = read(http.get("/failedmeasurementgroups", params={"includeClosed": "true"}))["data"]
    assert {each["code"]: each.get("replayed", 0) for each in groups} == {"invalid_number": 3, "undefined_meter": 0}


def test_hostile_names_stay_text_on_every_page(queue: Tenant, admin: Visitor) -> None:
    path = group_of(admin, "There is no such meter")
    page = admin.get(path)
    one = re.search(r'href="(/failed/measurements/[^"]+)"', page)
    assert one
    for text in (admin.get("/failed"), page, admin.get(one[1]), admin.post(f"{path}/replay", {"try": "true"})):
        assert "<script>alert" not in text
        assert HOSTILE[:20] in unescape(text)


def test_one_is_corrected_and_another_dismissed(queue: Tenant, admin: Visitor, http: httpx.Client) -> None:
    page = admin.get(group_of(admin, "Not a number"))
    first, second, _ = re.findall(r'<a href="(/failed/measurements/[^"]+)">', page)[:3]
    shown = unescape(admin.get(first))
    assert "would be rejected again: measure.tokens: must be a JSON number" in shown
    sent = re.search(r"<textarea[^>]*>([^<]*)</textarea>", shown)
    assert sent
    again = admin.post(f"{first}/replay", {"measurement": sent[1]}, status=422)
    assert "rejected again" in again
    assert "It is accepted and counts now." in admin.post(
        f"{first}/replay", {"measurement": sent[1].replace('"2"', "2")}
    )
    assert "Dismissed" in admin.post(f"{second}/discard", {"reason": HOSTILE})
    assert HOSTILE in unescape(admin.get(second))


def test_rules_that_cannot_be_are_said_beside_the_form(queue: Tenant, admin: Visitor) -> None:
    path = group_of(admin, "Not a number")
    assert "such as measure.tokens" in admin.post(f"{path}/replay", {"setField": "uid", "setValue": "x"}, status=422)
    text = admin.post(f"{path}/replay", {"setField": "measure.tokens", "setValue": "many"}, status=422)
    assert "setValue: must be a number" in unescape(text)
    assert "renameTo: is needed" in admin.post(f"{path}/replay", {"renameField": "what.a"}, status=422)


def test_who_may_only_look_sees_no_forms(queue: Tenant) -> None:
    reader = signed_in(queue, Role.READ_ONLY)
    page = reader.get(group_of(reader, "Not a number"))
    assert "Dismiss all" not in page
    assert "Correct and replay" not in page
