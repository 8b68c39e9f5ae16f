"""From a bill to what its invoice says: a frozen view in which every text is formatted. What writes it adds nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import msgspec

from tallystick.core.account import Account, Address
from tallystick.core.bill import Bill, BillRecord, BillStatus, LineItem
from tallystick.core.explain import Explanation, explain_bill
from tallystick.core.invoice_config import LOCALE_FIELD, PAPER_FIELD, TAX_ID_FIELD, InvoiceConfig, Paper, own_field
from tallystick.core.logo import LogoType, PortalLogo
from tallystick.core.period import Period, local_days
from tallystick.core.quantity import total
from tallystick.invoice.formats import Formats, locale_of
from tallystick.invoice.words import words_of


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an invoice is made of. An `estimate` is of a bill that nobody has made yet."""

    record: BillRecord
    account: Account
    organization_name: str
    config: InvoiceConfig
    logo: PortalLogo | None = None
    estimate: bool = False


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Who sells, or who is billed."""

    name: str
    lines: tuple[str, ...]
    tax_id: str = ""


class Fact(msgspec.Struct, frozen=True):
    """A labelled text, such as the invoice number."""

    label: str
    value: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the bill. `details` say what it is about more closely: dates, a child account, a rate."""

    number: str
    description: str
    details: tuple[str, ...]
    quantity: str
    unit: str
    unit_price: str
    amount: str


class BandRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one price band contributed, exactly."""

    above: str
    quantity: str
    unit_price: str
    fixed: str
    subtotal: str


class WorkingOf(msgspec.Struct, frozen=True, kw_only=True):
    """The working of one line as `explain` tells it, in English, with its bands in the invoice's own language."""

    number: str
    sentence: str
    steps: tuple[str, ...]
    bands: tuple[BandRow, ...]


class Logo(msgspec.Struct, frozen=True, kw_only=True):
    """A picture: its type, and its bytes in base64."""

    media_type: str
    content: str


class InvoiceView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An invoice, ready to be written. `notice` says that it is not final; a final one has none.

    `day` is the invoice date, for what files say about themselves."""

    language: str
    direction: str
    paper: Paper
    title: str
    notice: str
    day: str
    seller: Party
    customer: Party
    logo: Logo | None
    facts: tuple[Fact, ...]
    lines: tuple[Line, ...]
    totals: tuple[Fact, ...]
    rates: tuple[str, ...]
    terms: str
    footer: str
    working: tuple[WorkingOf, ...]
    words: Mapping[str, str]


# What would turn the text after it around, or does nothing but disturb: controls, and marks that embed or override a
# direction. What people wrote gets a direction of its own where it is shown.
_DISTURBING = dict.fromkeys(
    (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
)


def said(words: str) -> str:
    """What people wrote, without what would change how the rest is read."""
    return words.replace("\t", " ").translate(_DISTURBING)


def locale_name(source: Source, asked: str | None) -> str:
    """Which language: the one asked for, else the account's, else the organisation's."""
    return asked or own_field(source.account, LOCALE_FIELD) or source.config.locale


def paper_of(source: Source, asked: str | None) -> Paper:
    """Which paper: as asked, else the account's, else the organisation's. Raises ValueError for another."""
    name = asked or own_field(source.account, PAPER_FIELD)
    if name is None:
        return source.config.paper
    try:
        return Paper(name.upper())
    except ValueError:
        raise ValueError(f"paper: must be A4 or LETTER, got {name[:40]!r}") from None


def view_of(
    source: Source, *, locale: str | None = None, paper: str | None = None, directory: Path | None = None
) -> InvoiceView:
    """The invoice of a bill. Raises ValueError for an unknown locale or paper; `directory` may hold words."""
    formats = Formats(locale_of(locale_name(source, locale)))
    words = words_of(formats.locale, directory)
    bill, config = source.record.bill, source.config
    final = bill.status is BillStatus.APPROVED and not source.estimate
    state = "invoice" if final else ("estimate" if source.estimate else "draft")
    working = explain_bill(source.record) if config.show_working else ()
    return InvoiceView(
        language=formats.language,
        direction=formats.direction,
        paper=paper_of(source, paper),
        title=words[state],
        notice="" if final else words[f"{state}_note"],
        day=bill.external_invoice_date.isoformat(),
        seller=_seller(source),
        customer=_customer(source.account),
        logo=_logo(source.logo),
        facts=_facts(source, formats, words),
        lines=tuple(_line(bill, line, formats) for line in bill.line_items),
        totals=_totals(bill, formats, words),
        rates=tuple(
            f"1 {rate.from_} = {formats.number(rate.multiplier)} {rate.to}"
            for rate in bill.currency_conversions
            if any(line.currency == rate.from_ for line in bill.line_items) and rate.to == bill.currency
        ),
        terms=said(config.payment_terms or ""),
        footer=said(config.footer or ""),
        working=tuple(_working(each, line, formats) for each, line in zip(working, bill.line_items, strict=False)),
        words=words,
    )


def _seller(source: Source) -> Party:
    config = source.config
    lines = (*_address(config.seller_address), *([said(config.contact)] if config.contact else []))
    return Party(
        name=said(config.seller_name or source.organization_name), lines=lines, tax_id=said(config.tax_id or "")
    )


def _customer(account: Account) -> Party:
    return Party(
        name=said(account.name),
        lines=(*_address(account.address), said(account.email_address)),
        tax_id=said(own_field(account, TAX_ID_FIELD) or ""),
    )


def _address(address: Address | None) -> tuple[str, ...]:
    """As an envelope has it: street lines, then post code and place, then country."""
    if address is None:
        return ()
    streets = (address.address_line_1, address.address_line_2, address.address_line_3, address.address_line_4)
    place = " ".join(part for part in (address.post_code, address.locality) if part)
    return tuple(said(part) for part in (*streets, place, address.region, address.country) if part)


def _logo(logo: PortalLogo | None) -> Logo | None:
    if logo is None:
        return None
    kind = "png" if logo.media_type is LogoType.PNG else "svg+xml"
    return Logo(media_type=f"image/{kind}", content=base64.b64encode(logo.data).decode())


def _facts(source: Source, formats: Formats, words: Mapping[str, str]) -> tuple[Fact, ...]:
    bill = source.record.bill
    last = max(bill.start_date, bill.end_date - timedelta(days=1))
    given = (
        ("number", said(bill.sequential_invoice_number or bill.external_invoice_reference or "")),
        ("date", formats.day(bill.external_invoice_date)),
        ("due", formats.day(bill.due_date)),
        ("period", f"{formats.day(bill.start_date)} – {formats.day(last)}"),
        ("account", said(bill.account_code)),
        ("purchase_order", said(bill.purchase_order_number or "")),
        ("currency", bill.currency),
    )
    return tuple(Fact(words[name], value) for name, value in given if value)


def _totals(bill: Bill, formats: Formats, words: Mapping[str, str]) -> tuple[Fact, ...]:
    """The total, and what it is the sum of where something was given back or paid for by credit."""
    amounts = [line.converted_subtotal for line in bill.line_items]
    credited = total(amount for amount in amounts if amount < 0)
    due = Fact(words["total"], formats.money(bill.bill_total, bill.currency))
    if not credited:
        return (due,)
    charges = total(amount for amount in amounts if amount >= 0)
    return (
        Fact(words["charges"], formats.money(charges, bill.currency)),
        Fact(words["credits"], formats.money(credited, bill.currency)),
        due,
    )


def _line(bill: Bill, line: LineItem, formats: Formats) -> Line:
    details: list[str] = []
    if line.service_period_start_date is not None and line.service_period_end_date is not None:
        period = Period(line.service_period_start_date, line.service_period_end_date)
        if period.start < period.end:
            first, last = local_days(period, bill.timezone)
            if (first, last) != (bill.start_date, bill.end_date - timedelta(days=1)):
                details.append(f"{formats.day(first)} – {formats.day(last)}")
    if line.child_account_code:
        details.append(said(line.child_account_code))
    details += [
        said(f"{name}: {value}") for name, value in (line.segment or {}).items() if value not in line.description
    ]
    if line.currency != bill.currency:
        details.append(formats.money(line.subtotal, line.currency))  # the rate stands below the total
    return Line(
        number=str(line.sequence_number),
        description=said(line.description),
        details=tuple(details),
        quantity=formats.number(line.units),
        unit=said(line.unit),
        unit_price=formats.money(line.average_unit_price, line.currency),
        amount=formats.money(line.converted_subtotal, bill.currency),
    )


def _working(told: Explanation, line: LineItem, formats: Formats) -> WorkingOf:
    """A single band is in the sentence already."""
    bands = line.usage_per_pricing_band or ()
    return WorkingOf(
        number=str(told.sequence_number),
        sentence=said(told.sentence),
        steps=tuple(map(said, told.steps)),
        bands=tuple(
            BandRow(
                above=formats.number(band.lower_limit),
                quantity=formats.number(band.band_units),
                unit_price=_exact(formats, band.unit_price, line),
                fixed=_exact(formats, band.fixed_price, line),
                subtotal=_exact(formats, band.band_subtotal, line),
            )
            for band in bands
            if len(bands) > 1
        ),
    )


def _exact(formats: Formats, value: Decimal, line: LineItem) -> str:
    return formats.money(value, line.currency)
