"""The key that checkpoints of audits are signed with: Ed25519, in a file beside the server's other keys.

Apart from the key of tokens, so that who checks a signature needs nothing that could make one.
"""

from __future__ import annotations

from pathlib import Path

from tallystick.stores.key_file import random_key

NAME = "audit.key"


class KeyFileSigner:
    """Signs with the key of a data directory, which is made on first use. The library is loaded on first use too:
    few processes ever sign."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def public_key(self) -> str:
        """The key that signatures are checked by, in hexadecimal."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key: bytes = Ed25519PrivateKey.from_private_bytes(self._seed()).public_key().public_bytes_raw()
        return key.hex()

    def sign(self, text: bytes) -> str:
        """The signature of a text, in hexadecimal."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        signature: bytes = Ed25519PrivateKey.from_private_bytes(self._seed()).sign(text)
        return signature.hex()

    def signed(self, text: bytes, signature: str, public_key: str) -> bool:
        """Whether the signature is the key's, of this text."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), text)
        except (InvalidSignature, ValueError):
            return False
        return True

    def _seed(self) -> bytes:
        return random_key(self._directory, NAME)
