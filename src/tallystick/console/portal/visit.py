"""What a page of the portal may reach: one account, and what belongs to it. Nothing here takes an account as argument.

Pages get a `PortalVisit` and nothing else: no app, no records, no usage store. So no page can show another account's
data, whatever ids stand in its path (docs/decisions/0295-portal-sessions.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from tallystick.console.portal.reading import Reading
from tallystick.control import bills, portal_settings, spend_alerts
from tallystick.control.balances import BALANCES
from tallystick.control.bills import BillFilter
from tallystick.control.commitments import amounts_spent
from tallystick.control.desk import ID, Desk
from tallystick.control.invoices import invoice_of_record
from tallystick.control.ledger import entries_of
from tallystick.control.paid_states import standing_of, today
from tallystick.control.spend_alerts import SPEND_ALERTS
from tallystick.core.account import Account
from tallystick.core.bill import Bill, BillRecord, BillStatus, LineItem
from tallystick.core.bill_job import BillFailure
from tallystick.core.burn_down import BurnDown, burn_down
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Entity, Value
from tallystick.core.logo import PortalLogo
from tallystick.core.paid_state import PaidBill
from tallystick.core.period import Instant, local_day
from tallystick.core.portal import PortalSession, PortalSettings, ShownBills
from tallystick.core.quantity import ZERO
from tallystick.core.spend_alert import AlertState, SpendAlert
from tallystick.errors import Refusal
from tallystick.invoice.html import html_of
from tallystick.invoice.pdf import Printer
from tallystick.invoice.view import InvoiceView
from tallystick.pipeline.entitlements import Shown, shown, standings
from tallystick.pipeline.forecast import forecast_bills
from tallystick.pipeline.lineage import line_usage
from tallystick.pipeline.spend import present_bills
from tallystick.pipeline.watch import LiveValue, drawn_a_day, live_values
from tallystick.ports import (
    Actor,
    Found,
    Organization,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    Where,
)

PORTAL_SESSION = "PORTAL_SESSION"  # the kind of actor that a visit is
V = TypeVar("V", bound=Value)
MOST_CREDITS = 20
BACK, AHEAD = 60, 60  # days of a burn-down


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyUsage:
    """How much a line counted on each day, in the bill's time zone; None where nothing was measured. `adds_up` says
    whether the days add up to what the line counted."""

    name: str
    unit: str
    days: tuple[date, ...]
    values: tuple[Decimal | None, ...]
    adds_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBalance:
    """A balance with what it is worth now (a failure where that cannot be said) and how it burns down."""

    balance: Entity[Balance]
    worth: LiveValue | BillFailure
    burning: BurnDown | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCommitment:
    """A commitment with what bills have drawn of it."""

    commitment: Entity[Commitment]
    spent: Decimal
    left: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoicing:
    """What prints invoices, and where the organisation's own templates are."""

    printer: Printer
    directory: Path | None


class PortalVisit:
    """One customer's look at their own account. What it shows to whom is bound when it is made."""

    __slots__ = (
        "__account",
        "__invoicing",
        "__organization",
        "__records",
        "__up_to",
        "__usage",
        "now",
        "organization_name",
        "session",
        "settings",
        "show",
    )

    def __init__(
        self,
        records: OrganizationRecords,
        usage: OrganizationUsage,
        session: PortalSession,
        *,
        organization: Organization,
        invoicing: Invoicing,
        up_to: int,
        now: Instant,
    ) -> None:
        account = records.get(Account, session.account_id)
        assert account is not None, "a session lasts no longer than its account"
        self.__records, self.__usage, self.__account, self.__up_to = records, usage, account, up_to
        self.session, self.now = session, now
        self.settings: PortalSettings = portal_settings.current(records).value
        self.__organization, self.__invoicing = organization, invoicing
        self.organization_name = self.settings.display_name or organization.name
        self.show = Reading.of(session.locale, session.timezone)

    @property
    def account_name(self) -> str:
        return self.__account.value.name

    def logo(self) -> PortalLogo | None:
        """The organisation's logo."""
        entity = portal_settings.logo(self.__records)
        return None if entity is None else entity.value

    # ------------------------------------------------------------------------------------------------------ bills

    def estimates(self) -> list[BillRecord | BillFailure]:
        """The bills of the present billing periods as they would be made now: what a preview answers."""
        id_ = self.__account.id
        return present_bills(self.__records, self.__usage, (id_,), now=self.now, up_to=self.__up_to)[id_]

    def forecasts(self) -> dict[str, Bill]:
        """What the present bills will come to at their ends, had usage gone on at the same pace, by id; none where too
        little of a period is over, or it cannot be said."""
        made = forecast_bills(self.__records, self.__usage, self.__account.id, now=self.now, up_to=self.__up_to)
        return {each.bill.id: each.bill for each in made if isinstance(each, BillRecord)}

    def bills(self, page: Page) -> Found[Bill]:
        """A page of the account's bills that customers see, latest period first."""
        return bills.list_bills(self.__records, self.__shown(), page)

    def bill(self, id: str) -> BillRecord:
        """One of those bills; Refusal `not_found` for any other id."""
        document = bills.get_bill(self.__records, id) if ID.fullmatch(id) else None
        if document is None or not self.__shows(document.bill):
            raise Refusal("not_found", f"id: there is no bill {id[:40]!r} here", field="id")
        return document

    def payments(self, shown: Sequence[Bill]) -> dict[str, PaidBill]:
        """How the payment of bills that this visit was given stands, by their ids."""
        return standing_of(self.__records, shown)

    @property
    def today(self) -> date:
        """The day by which a bill is overdue: that of the organisation."""
        return today(self.__records, self.now)

    def invoice_pdf(self, record: BillRecord) -> bytes:
        """The invoice of a bill of the account as PDF. Refusal `busy` where many are printed at once."""
        return self.__invoicing.printer.print(self.__invoice(record), self.__organization.id).pdf

    def invoice_html(self, record: BillRecord) -> bytes:
        """The invoice of a bill of the account as HTML."""
        return html_of(self.__invoice(record), self.__invoicing.directory, self.__organization.id).encode()

    def __invoice(self, record: BillRecord) -> InvoiceView:
        assert self.__shows(record.bill), "only bills that are shown are printed"
        directory = self.__invoicing.directory
        return invoice_of_record(self.__organization, self.__records, record, directory=directory)

    def __shown(self) -> BillFilter:
        locked = True if self.settings.shown_bills is ShownBills.LOCKED else None
        return BillFilter(account_ids=(self.__account.id,), status=BillStatus.APPROVED, locked=locked)

    def __shows(self, bill: Bill) -> bool:
        only_locked = self.settings.shown_bills is ShownBills.LOCKED
        approved = bill.status is BillStatus.APPROVED and (bill.locked or not only_locked)
        return approved and bill.account_id == self.__account.id

    # ------------------------------------------------------------------------------------------------------ usage

    def daily_usage(self, record: BillRecord, line: LineItem) -> list[DailyUsage]:
        """The very usage that a line of a bill counted, by day: a number for each that the line is made of."""
        behind = line_usage(self.__records, self.__usage, record, line).inputs
        return [
            DailyUsage(
                name=line.description if len(behind) == 1 else f"{line.description}: {each.name}",
                unit=each.unit.strip("{}"),
                days=tuple(day.day for day in each.days),
                values=tuple(day.value for day in each.days),
                adds_up=each.adds_up,
            )
            for each in behind
        ]

    # ------------------------------------------------------------------------------------------------------ credit

    def balances(self) -> list[HeldBalance]:
        """The account's balances that have begun and can still be used, those that end first at the start."""
        held = [each for each in self.__credits(Balance) if each.value.start_date <= self.now < each.value.last_end]
        held = sorted(held, key=lambda each: (each.value.last_end, each.id))[:MOST_CREDITS]
        entries = entries_of(self.__records, [each.id for each in held]) if held else {}
        worth = live_values(self.__records, self.__usage, held, now=self.now, up_to=self.__up_to)
        return [
            HeldBalance(
                balance=balance,
                worth=live,
                burning=None
                if isinstance(live, BillFailure)
                else burn_down(
                    entries[balance.id],
                    live.value,
                    drawn_a_day(live.open_draws, self.now),
                    now=self.now,
                    zone=self.session.timezone,
                    back=BACK,
                    ahead=AHEAD,
                ),
            )
            for balance, live in zip(held, worth, strict=True)
        ]

    def commitments(self) -> list[HeldCommitment]:
        """The account's commitments that have not ended, those that end first at the start."""
        today = local_day(self.now, self.session.timezone)
        held = sorted(
            (each for each in self.__credits(Commitment) if each.value.end_date > today),
            key=lambda each: (each.value.end_date, each.id),
        )[:MOST_CREDITS]
        spent = amounts_spent(self.__records, held) if held else {}
        return [
            HeldCommitment(commitment=each, spent=spent[each.id], left=max(ZERO, each.value.amount - spent[each.id]))
            for each in held
        ]

    def __credits(self, of: type[V]) -> list[Entity[V]]:
        return list(self.__records.every(of, Where(equal={"account_id": (self.__account.id,)})))

    def allowed(self) -> list[Shown]:
        """What the account may use, and what is left of it, as of now."""
        account_id = self.__account.id
        found = standings(self.__records, self.__usage, (account_id,), now=self.now, up_to=self.__up_to)
        return shown(found[account_id])

    # ------------------------------------------------------------------------------------------------------ alerts

    def alerts(self) -> list[tuple[Entity[SpendAlert], AlertState]]:
        """The account's spend alerts, oldest first, with where each stands."""
        found = spend_alerts.alerts_of(self.__records, self.__account.id)
        states = spend_alerts.states_of(self.__records, found)
        return [(each, states[each.id]) for each in found]

    def add_alert(self, make: Callable[[str], SpendAlert]) -> Entity[SpendAlert]:
        """Keep a new alert of the account. `make` is given the account's id; what it names must belong to it."""
        alert = make(self.__account.id)
        assert alert.account_id == self.__account.id, "a customer's alert is on their own account"
        if alert.balance_id is not None:
            balance = BALANCES.retrieve(self.__records, alert.balance_id)
            if balance.value.account_id != self.__account.id:
                raise Refusal("not_found", "balanceId: there is no such balance here", field="balanceId")
        return SPEND_ALERTS.create(self.__desk(), alert)

    def remove_alert(self, id: str) -> None:
        """Delete an alert of the account; Refusal `not_found` for any other id."""
        alert = SPEND_ALERTS.retrieve(self.__records, id)
        if alert.value.account_id != self.__account.id:
            raise Refusal("not_found", f"id: there is no alert {id[:40]!r} here", field="id")
        SPEND_ALERTS.delete(self.__desk(), id)

    def __desk(self) -> Desk:
        actor = Actor(id=self.session.id, kind=PORTAL_SESSION)
        return Desk(records=self.__records, actor=actor, now=self.now)
