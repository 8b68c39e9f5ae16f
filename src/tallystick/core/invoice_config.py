"""How an organisation's invoices look: who sells, what stands below, in which language, on which paper.

An extension of ours.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.account import Account, Address
from tallystick.core.entity import Name, Value

Text = Annotated[str, msgspec.Meta(max_length=2_000)]
# A language, with a script and a country where they matter: en-GB, zh-Hant-TW.
LocaleName = Annotated[str, msgspec.Meta(max_length=40, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$(?!\n)")]

# Custom fields of an account that its invoices are made by, before the organisation's settings.
LOCALE_FIELD, PAPER_FIELD, TAX_ID_FIELD = "invoiceLocale", "invoicePaper", "taxId"


class Paper(StrEnum):
    A4 = "A4"
    LETTER = "LETTER"


class InvoiceConfig(Value, frozen=True, kw_only=True):
    """The settings of an organisation's invoices. Without `seller_name` the organisation's own name stands there; the
    logo is the one of the portal. `show_working` adds an appendix with the working of each line."""

    kind: ClassVar[str] = "invoiceconfig"

    seller_name: Name | None = None
    seller_address: Address | None = None
    tax_id: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    contact: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    payment_terms: Text | None = None
    footer: Text | None = None
    locale: LocaleName = "en-US"
    paper: Paper = Paper.A4
    show_working: bool = True


def own_field(account: Account, name: str) -> str | None:
    """What an account says for itself in a custom field, as text."""
    value = (account.custom_fields or {}).get(name)
    return None if value is None or value == "" else str(value)
