"""Secrets at rest."""

import base64

import pytest

from tallystick.errors import Refusal
from tallystick.stores.vault import KeyFileVault


def test_a_sealed_secret_opens_for_what_it_was_sealed_for(tmp_path):
    vault = KeyFileVault(tmp_path)
    sealed = vault.seal("sk_live_ü", "webhook 17")
    assert KeyFileVault(tmp_path).open(sealed, "webhook 17") == "sk_live_ü"
    assert "sk_live" not in sealed
    assert b"sk_live" not in base64.b64decode(sealed.removeprefix("v1."))
    assert vault.seal("sk_live_ü", "webhook 17") != sealed


@pytest.mark.parametrize(
    ("case", "change", "about"),
    [
        ("for something else", lambda sealed: sealed, "webhook 18"),
        ("altered", lambda sealed: sealed[:-6] + ("AAAAA=" if sealed[-6:] != "AAAAA=" else "BBBBB="), "webhook 17"),
        ("cut", lambda sealed: sealed[:10], "webhook 17"),
        ("no sealed text at all", lambda _: "plain", "webhook 17"),
    ],
)
def test_what_does_not_open(tmp_path, case, change, about):
    vault = KeyFileVault(tmp_path)
    with pytest.raises(Refusal) as refusal:
        vault.open(change(vault.seal("secret", "webhook 17")), about)
    assert refusal.value.code.name == "sealed_elsewhere", case


def test_another_data_directory_opens_nothing(tmp_path):
    sealed = KeyFileVault(tmp_path / "one").seal("secret", "a")
    with pytest.raises(Refusal, match="enter it again"):
        KeyFileVault(tmp_path / "two").open(sealed, "a")
