"""Bills to make invoices of: the stories of `golden_bills`, as bills of accounts with names of one's choice."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import msgspec

from billing_world import at
from golden_bills import STORIES, Story
from tallystick.core.account import Account, Address
from tallystick.core.bill import BillRecord, BillStatus
from tallystick.core.invoice_config import InvoiceConfig
from tallystick.core.logo import LogoType, PortalLogo
from tallystick.invoice.view import InvoiceView, Source, view_of
from tallystick.pipeline.bill import Run, bill_of
from tallystick.pipeline.rate import Rated

RUN = Run(job_id="job", as_of=at("2024-01-01T00:00:00Z"), up_to=7, actor_id="tests")
ADDRESS = Address(address_line_1="1 Oak Lane", locality="Bristol", post_code="BS1 4ST", country="United Kingdom")
SELLER = InvoiceConfig(
    seller_name="Quill & Ink Ltd",
    seller_address=ADDRESS,
    tax_id="GB 123 4567 89",
    contact="billing@quill.example",
    payment_terms="Within 30 days, by bank transfer.",
    footer="Quill & Ink Ltd, registered in England",
    locale="en-GB",
)
# Names that try to be markup, code, a formula, or to turn what stands beside them around.
HOSTILE = (
    '#panic("no")',
    "*bold* _it_ $x^2$ `raw` @label <tag>",
    "</td><script>alert(1)</script>",
    '#import "@preview/x:1.0.0"',
    '=HYPERLINK("http://x")',
    "\\u{41} \\ \n\t// /* comment",
    "\u202eturned\u202c around",
    "W" * 190,
)


def record_of(story: str, **changes: Any) -> BillRecord:
    """The bill of a story; `changes` are fields of the bill."""
    return record_from(next(each for each in STORIES if each.name == story), **changes)


def record_from(story: Story, **changes: Any) -> BillRecord:
    """The approved bill of a story that may be of one's own."""
    terms, lines = story.bill()
    record = bill_of(Rated(terms=terms, lines=lines, answers=(), up_to=7), RUN)
    given = {"status": BillStatus.APPROVED, "sequential_invoice_number": "INV-000042"} | changes
    return msgspec.structs.replace(record, bill=msgspec.structs.replace(record.bill, **given))


def source_of(record: BillRecord, **changes: Any) -> Source:
    """An invoice of a bill; `changes` are `config`, `logo`, `estimate`, or fields of the account."""
    own = {name: changes.pop(name) for name in ("config", "logo", "estimate") if name in changes}
    account = Account(**({"name": "Acorn plc", "code": "acme", "email_address": "ap@acorn.example"} | changes))
    return Source(**({"record": record, "account": account, "organization_name": "Quill", "config": SELLER} | own))


def view(story: str = "calls_tiered", **asked: Any) -> InvoiceView:
    return view_of(source_of(record_of(story)), **asked)


def many_lines(record: BillRecord, count: int, descriptions: tuple[str, ...] = ()) -> BillRecord:
    """The bill with its first line over and over, under ids and descriptions of their own."""
    first = record.bill.line_items[0]
    lines = tuple(
        msgspec.structs.replace(
            first,
            id=f"line-{index}",
            sequence_number=index,
            description=descriptions[index % len(descriptions)] if descriptions else f"Line of item {index}",
        )
        for index in range(1, count + 1)
    )
    return msgspec.structs.replace(
        record,
        bill=msgspec.structs.replace(record.bill, line_items=lines),
        workings={line.id: record.working(first.id) for line in lines},
    )


def png_logo() -> PortalLogo:
    """A picture of 8 by 4 red points."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 8, 4, 8, 2, 0, 0, 0)
    data = zlib.compress((b"\x00" + b"\xc0\x20\x20" * 8) * 4)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return PortalLogo(media_type=LogoType.PNG, content=base64.b64encode(png).decode())
