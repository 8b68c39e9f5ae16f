"""The pages of sources: how each stands, what became of its files, rest and go on; nothing that is secret."""

from __future__ import annotations

from source_world import ROWS, House
from storefront import read, send
from visitor import signed_in

AT = "2025-03-01T00:00:00Z"


def test_sources_on_their_pages(house: House) -> None:
    (house.folder / "a.csv").write_text(f"at,who,tokens\n{AT},acorn,1\n{AT},acorn,many\n")
    folder = house.source({"type": "FOLDER", "intervalSeconds": 1, "settleSeconds": 1}, mapping=ROWS)
    kafka = {"type": "KAFKA", "brokers": ["127.0.0.1:1"], "topics": ["<b>"[1:2]], "security": "SASL_SSL"}
    broken = house.source(kafka, {"username": "ann", "password": "hush-hush"})
    house.received(folder, 2)
    house.until(broken, lambda state: state["status"] == "FAILING")
    asked = {"fileName": "<i>.json", "contentType": "application/json", "contentLength": 5}
    read(send(house.http, "POST", "/fileuploads/measurements/generateUploadUrl", asked))
    desk = signed_in(house.tenant)
    every, one, other = (
        desk.get("/usagesources"),
        desk.get(f"/usagesources/{folder}"),
        desk.get(f"/usagesources/{broken}"),
    )
    assert "Kafka: " in every
    assert "&lt;i&gt;.json" in every
    assert "a.csv" in one
    assert "measure.tokens" in one
    assert "given" in other
    assert "hush-hush" not in every + one + other
    assert "It rests" in desk.post(f"/usagesources/{folder}/pause")
    house.until(folder, lambda state: state["status"] == "PAUSED")
    assert "It goes on" in desk.post(f"/usagesources/{folder}/resume")
    house.until(folder, lambda state: state["status"] == "RUNNING")
