"""E-mail in the settings: what is sent, words with a sample filled in, and who wants none."""

from __future__ import annotations

import re

import httpx
from storefront import read, send
from visitor import Visitor

PATH = "/settings/email"
SETTINGS = {"sendBills": "APPROVED", "sendAlerts": "true", "senderName": "North Billing", "version": "0"}
WORDS = {"messageKind": "BILL", "language": "fr", "subject": "Facture {{ bill.number }}"}


def test_what_is_sent_is_said_and_refused_beside_the_field(admin: Visitor, http: httpx.Client) -> None:
    assert "This server has no mail server" in admin.get(PATH)
    typed = {
        **SETTINGS,
        "replyTo": "help@north.example",
        "copiesTo": "a@north.example, b@north.example\nc@north.example",
    }
    assert "The settings are saved" in admin.post(PATH, typed)
    kept = read(http.get("/emailsettings"))
    assert {name: kept[name] for name in ("sendBills", "sendAlerts", "senderName", "replyTo", "copiesTo")} == {
        "sendBills": "APPROVED",
        "sendAlerts": True,
        "senderName": "North Billing",
        "replyTo": "help@north.example",
        "copiesTo": ["a@north.example", "b@north.example", "c@north.example"],
    }
    refused = admin.post(PATH, {**typed, "version": "1", "copiesTo": "a@north.example nobody"}, status=422)
    assert "copiesTo: must be an address such as" in refused
    assert "a@north.example nobody" in refused, "what was typed is still there"
    assert 'id="copiesTo-error"' in admin.post(PATH, {**typed, "version": "1", "copiesTo": "x"}, status=422)
    assert "version" in admin.post(PATH, typed, status=422), "somebody else has saved in between"
    assert "The settings are saved" in admin.post(PATH, {"sendBills": "NEVER", "version": "1"})
    changed = read(http.get("/emailsettings"))
    assert (changed["sendBills"], changed["sendAlerts"], changed["copiesTo"]) == ("NEVER", False, [])
    assert "replyTo" not in changed


def test_words_are_looked_at_before_they_are_kept(admin: Visitor, http: httpx.Client) -> None:
    assert "ours are sent" in admin.get(f"{PATH}/templates")
    assert "Rechnung INV-1001" in admin.get(f"{PATH}/templates/new?messageKind=BILL&language=de"), "begins with ours"
    shown = admin.post(f"{PATH}/templates", {**WORDS, "text": "  {{ account.name }}\n", "preview": "true"})
    assert "Facture INV-1001" in shown
    assert "<pre>  Sample &amp; Sons\n</pre>" in shown, "the very text, spaces and all"
    assert read(http.get("/emailtemplates"))["data"] == [], "a preview keeps nothing"
    for field, words, why in (
        ("text", "{{ bill.totl }}", "text: cannot be filled in"),
        ("subject", "{{ bill.number", "subject: cannot be filled in"),
        ("html", "{% include 'x' %}", "html: cannot be filled in"),
        ("language", "français!", "language"),
    ):
        for more in ({}, {"preview": "true"}):
            refused = admin.post(f"{PATH}/templates", {**WORDS, "text": "-", field: words, **more}, status=422)
            assert f'id="{field}-error"' in refused, (field, more)
            assert why in refused
    kept = admin.post(f"{PATH}/templates", {**WORDS, "text": "Bonjour", "html": "<b>{{ account.name }}</b>"})
    assert "&lt;b&gt;Sample &amp;amp; Sons&lt;/b&gt;" in kept, (
        "HTML is escaped where it is filled in, and shown as text"
    )
    (made,) = read(http.get("/emailtemplates"))["data"]
    assert (made["text"], made["html"], made["language"]) == ("Bonjour", "<b>{{ account.name }}</b>", "fr")
    one = f"{PATH}/templates/{made['id']}"
    assert one in admin.get(f"{PATH}/templates")
    assert "there are words for BILL in fr" in admin.post(f"{PATH}/templates", {**WORDS, "text": "-"}, status=422)
    typed = {**WORDS, "text": "Total: {{ bill.total }}"}
    assert "Total: $1,234.50" in admin.post(one, {**typed, "version": "1", "preview": "true"})
    assert read(http.get(f"/emailtemplates/{made['id']}"))["text"] == "Bonjour"
    assert "text: cannot be filled in" in admin.post(one, {**typed, "text": "{{ x }}", "version": "1"}, status=422)
    assert "Total: $1,234.50" in admin.post(one, {**typed, "version": "1"})
    assert "html" not in read(http.get(f"/emailtemplates/{made['id']}"))
    assert "ours are sent" in admin.post(f"{one}/delete")


def test_who_wants_none_is_listed_and_taken_back(admin: Visitor, http: httpx.Client) -> None:
    read(send(http, "POST", "/emailoptouts", {"address": "ap@acme.example", "messageKind": "ALERT"}))
    assert "no messages of this kind" in admin.post(
        f"{PATH}/optouts", {"address": "CFO@acme.example", "messageKind": "BILL"}
    )
    again = {"address": "cfo@acme.example", "messageKind": "BILL"}
    assert "wants no messages of this kind already" in admin.post(f"{PATH}/optouts", again, status=422)
    assert "must be an address" in admin.post(f"{PATH}/optouts", {**again, "address": "nobody"}, status=422)
    page = admin.get(f"{PATH}/optouts?search=CFO@acme.example")
    assert "ap@acme.example" not in page
    (one,) = set(re.findall(rf'action="({PATH}/optouts/[^"]+/delete)"', page))
    assert "cfo@acme.example gets messages of this kind again" in admin.post(one)
    assert [each["address"] for each in read(http.get("/emailoptouts"))["data"]] == ["ap@acme.example"]
