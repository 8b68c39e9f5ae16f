"""Secrets at rest: sealed with a key of the data directory (AES-256-GCM; docs/decisions/0471-vault.md)."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from tallystick.errors import Refusal
from tallystick.stores.key_file import random_key

KEY_NAME = "vault.key"
_NONCE = 12  # bytes, random: far fewer than 2^32 secrets are ever sealed with one key
_FORM = "v1."


class KeyFileVault:
    """Seals with a key in a file, made on first use. The library is loaded on first use too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def seal(self, secret: str, about: str) -> str:
        """The secret as it may be stored; the same secret looks different each time."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(self._key()).encrypt(nonce, secret.encode(), about.encode())
        return _FORM + base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, about: str) -> str:
        """The secret. Refusal `sealed_elsewhere` where it does not open."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            raw = base64.b64decode(sealed.removeprefix(_FORM), validate=True)
            return AESGCM(self._key()).decrypt(raw[:_NONCE], raw[_NONCE:], about.encode()).decode()
        except (InvalidTag, ValueError) as error:
            message = (
                "a stored secret does not open: it was sealed with the key of another data directory, or for something "
                "else; enter it again"
            )
            raise Refusal("sealed_elsewhere", message) from error

    def _key(self) -> bytes:
        return random_key(self._directory, KEY_NAME)
