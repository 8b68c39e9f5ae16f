"""Which address each page of the console and of the portal has, and what it must show, by arithmetic of the bench."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from urllib.parse import urlencode

from bill_world import FAILED, BillOf, World
from bills import PRICES, STANDING_CHARGE

CALLS = PRICES[0]
LISTED = 50  # rows of a page of a list


@dataclass(frozen=True, kw_only=True)
class Chance:
    """What one visit is about: an account, and one of its bills."""

    world: World
    code: str
    place: int

    @property
    def account(self) -> str:
        return self.world.accounts[self.code]

    @property
    def bill(self) -> BillOf:
        return self.world.bills[self.code][self.place]

    @property
    def line(self) -> str:
        return f"/bills/{self.bill.id}/lines/{self.world.made['line']}"

    @property
    def calls(self) -> Decimal:
        return self.world.usages[self.place].quantities[self.code][CALLS.field]

    @property
    def uid(self) -> str:
        return f"{self.code}-{self.bill.month.first:%Y-%m}-0"

    def lines(self, place: int) -> list[Decimal]:
        """The charges of a month, line by line."""
        used = self.world.usages[place].quantities[self.code]
        return [STANDING_CHARGE, *(price.of(used[price.field]) for price in PRICES)]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The address, and the exact amounts and texts of the answer."""

    path: str
    amounts: tuple[Decimal, ...] = ()
    texts: tuple[str, ...] = ()


Look = Callable[[Chance], Expected]


def _at(path: str, *texts: str) -> Look:
    return lambda _: Expected(path=path, texts=texts)


def _one(noun: str, kind: str, text: str, rest: str = "") -> Look:
    return lambda chance: Expected(path=f"/{noun}/{chance.world.made[kind]}{rest}", texts=(text,))


def _home(chance: Chance) -> Expected:
    world = chance.world
    latest = world.months[-5:]  # and the present month, of which there are no bills
    waiting = world.total_of(world.months[-1])
    return Expected(path="/", amounts=(waiting,), texts=tuple(f"{world.total_of(each):,.2f}" for each in latest))


def _accounts(_: Chance) -> Expected:
    return Expected(path="/accounts", texts=("customer-",))


def _accounts_named(chance: Chance) -> Expected:
    return Expected(path=f"/accounts?name={chance.code}", texts=(chance.account,))


def _account(chance: Chance) -> Expected:
    spent = sum(chance.lines(len(chance.world.months)), Decimal(0))
    bills = chance.world.bills[chance.code][-6:]
    return Expected(path=f"/accounts/{chance.account}", amounts=(spent, *(each.total for each in bills)))


def _of_account(rest: str, *texts: str) -> Look:
    return lambda chance: Expected(path=f"/accounts/{chance.account}{rest}", texts=texts or (chance.code,))


def _balance(chance: Chance) -> Expected:
    codes = sorted(chance.world.balances)
    code = codes[sum(map(ord, chance.code)) * 31 % len(codes)]
    given = chance.world.usages[0].balances[code]
    drawn = [each.charges - each.total for each in chance.world.bills[code] if each.charges != each.total]
    return Expected(path=f"/balances/{chance.world.balances[code]}", amounts=(given, *(-each for each in drawn)))


def _bills(chance: Chance) -> Expected:
    return Expected(path="/bills", texts=("/bills/",))


def _bills_of_month(chance: Chance) -> Expected:
    month = chance.bill.month
    return Expected(path=f"/bills?month={month.first:%Y-%m}", amounts=(chance.world.total_of(month),))


def _bills_of_account(chance: Chance) -> Expected:
    bills = chance.world.bills[chance.code]
    return Expected(path=f"/bills?account={chance.code}", amounts=tuple(each.total for each in bills))


def _bill(chance: Chance) -> Expected:
    return Expected(path=f"/bills/{chance.bill.id}", amounts=(chance.bill.total, *chance.lines(chance.place)))


def _pdf(path: str) -> Look:
    return lambda chance: Expected(path=f"/bills/{chance.bill.id}{path}", texts=("%PDF",))


def _csv(path: str) -> Look:
    return lambda chance: Expected(
        path=f"/bills/{chance.bill.id}{path}", texts=tuple(f"{each}" for each in chance.lines(chance.place)[1:2])
    )


def _line(chance: Chance) -> Expected:
    return Expected(path=chance.line, amounts=(CALLS.of(chance.calls), chance.calls))


def _measurements(chance: Chance) -> Expected:
    return Expected(path=f"{chance.line}/measurements", texts=(chance.uid,))


def _preview(chance: Chance) -> Expected:
    lines = chance.lines(len(chance.world.months))
    return Expected(path=f"/preview?account={chance.code}", amounts=tuple(lines))


def _explorer(chance: Chance) -> Expected:
    return Expected(path="/explorer", texts=("customer-",))


def _explored(chance: Chance, page: str = "/explorer") -> Expected:
    month = chance.bill.month
    asked = {"from": month.first, "to": month.last, "accounts": chance.code, "of": "calls", "function": "SUM"}
    path = f"{page}?{urlencode({**asked, 'by': 'ACCOUNT'})}"
    if page != "/explorer":
        return Expected(path=path, texts=(chance.uid,))
    return Expected(path=path, texts=(chance.uid, f"{chance.calls:,}"))


def _by_account(chance: Chance) -> Expected:
    """Who used most of a month, of all accounts."""
    month, used = chance.bill.month, chance.world.usages[chance.place].quantities
    most = max(used.values(), key=lambda each: each["calls"])["calls"]
    asked = {"from": month.first, "to": month.last, "of": "calls", "function": "SUM", "by": "ACCOUNT"}
    return Expected(path=f"/explorer?{urlencode(asked)}", texts=(f"{most:,}",))


# Pages of single things that the accounts here have none of: not measured.
UNVISITED = frozenset(
    {
        "/contracts/{id}",
        "/contracts/{id}/edit",
        "/charges/{id}",
        "/discounts/{id}",
        "/counters/{id}",
        "/counterpricings/{id}",
        "/playground/{id}",
        "/playground/{id}/csv",
        "/shadowplans/{id}",
        "/experiments/{id}",
        "/planmigrations/{id}",
        "/catalog/plans/{plan}",
        "/catalog/versions/{version}",
        "/unsubscribe/{token}",
    }
)
# Visited by who is signed in, in the order of the console's table; a page may be visited in several ways.
LOOKS: dict[str, tuple[Look, ...]] = {
    "/": (_home,),
    "/measurements/upload": (_at("/measurements/upload", "<form"),),
    "/meters": (_at("/meters", "usage"),),
    "/meters/new": (_at("/meters/new", "<form"),),
    "/meters/{id}": (_one("meters", "meter", "gigabytes"),),
    "/meters/{id}/edit": (_one("meters", "meter", "gigabytes", "/edit"),),
    "/aggregations": (_at("/aggregations", "gigabytes"),),
    "/aggregations/new": (_at("/aggregations/new", "usage"),),
    "/aggregations/{id}": (_one("aggregations", "aggregation", "Sum"),),
    "/aggregations/{id}/edit": (_one("aggregations", "aggregation", "<form", "/edit"),),
    "/compounds": (_at("/compounds", "Twice"),),
    "/compounds/new": (_at("/compounds/new", "<form"),),
    "/compounds/{id}": (_one("compounds", "compound", "aggregation.calls * 2"),),
    "/compounds/{id}/edit": (_one("compounds", "compound", "aggregation.calls * 2", "/edit"),),
    "/catalog": (_at("/catalog", "Versions"),),
    "/explorer": (_explorer, _explored, _by_account),
    "/explorer/download": (lambda chance: _explored(chance, "/explorer/download"),),
    "/explorer/measurement": (
        lambda chance: Expected(path=f"/explorer/measurement?uid={chance.uid}", texts=(chance.code,)),
    ),
    "/accounts": (_accounts, _accounts_named),
    "/accounts/new": (_at("/accounts/new", "<form"),),
    "/accounts/{id}": (_account,),
    "/accounts/{id}/edit": (_of_account("/edit", "<form"),),
    "/accounts/{id}/plan": (_of_account("/plan", "Standard"),),
    "/balances/{id}": (_balance,),
    "/accounts/{id}/balance": (_of_account("/balance", "<form"),),
    "/accounts/{id}/commitment": (_of_account("/commitment", "<form"),),
    "/identities": (_at("/identities", "Add an identity"),),
    "/unmappedusage": (_at("/unmappedusage", "workspace-7"),),
    "/unmappedusage/{id}": (_one("unmappedusage", "unmapped", "workspace-7"),),
    "/eventmappings": (_at("/eventmappings", "Event sources"),),
    "/failed": (_at("/failed", "nowhere"),),
    "/failed/groups/{id}": (_one("failed/groups", "group", f"lost-{FAILED - 1}"),),
    "/failed/measurements/{id}": (_one("failed/measurements", "failed", "nowhere"),),
    "/reconciliations": (_at("/reconciliations", "Application log"),),
    "/reconciliations/new": (_at("/reconciliations/new", "<form"),),
    "/reconciliations/{id}": (_one("reconciliations", "reconciliation", "Application log"),),
    "/reconciliationruns/{id}": (_one("reconciliationruns", "reconciliationrun", "Application log"),),
    "/reconciliationruns/{id}/findings": (
        _one("reconciliationruns", "reconciliationrun", "What is amiss", "/findings"),
    ),
    "/corrections": (_at("/corrections", "sent twice"),),
    "/corrections/{id}": (_one("corrections", "correction", "sent twice"),),
    "/plans": (_at("/plans", "Standard"),),
    "/plans/new": (_at("/plans/new", "Monthly"),),
    "/plans/{id}": (_one("plans", "plan", "gigabytes"),),
    "/plans/{id}/edit": (_one("plans", "plan", "<form", "/edit"),),
    "/plans/{id}/pricings/new": (_one("plans", "plan", "gigabytes", "/pricings/new"),),
    "/pricings/{id}": (_one("pricings", "pricing", "Standard"),),
    "/products": (_at("/products", "Cloud"),),
    "/plantemplates": (_at("/plantemplates", "Monthly"),),
    "/plantemplates/new": (_at("/plantemplates/new", "Cloud"),),
    "/audit": (_at("/audit", "Jo Doe"),),
    "/audit/verification": (_at("/audit/verification", "Keep a checkpoint"),),
    "/audit/checkpoint/download": (_at("/audit/checkpoint/download", "signature"),),
    "/settings/portal": (_at("/settings/portal", "https://app.example"),),
    "/accounts/{id}/portal": (_of_account("/portal"),),
    "/keys": (_at("/keys", "<table"),),
    "/settings": (_at("/settings", "<form"),),
    "/settings/lists": (_at("/settings/lists", "USD"),),
    "/users": (_at("/users", "colleague@company.example"),),
    "/password": (_at("/password", "<form"),),
    "/bills": (_bills, _bills_of_month, _bills_of_account),
    "/bills/{id}": (_bill,),
    "/bills/{id}/lines/{line}": (_line,),
    "/bills/{id}/lines/{line}/measurements": (_measurements,),
    "/bills/{id}/proof": (lambda chance: Expected(path=f"/bills/{chance.bill.id}/proof", texts=("manifest",)),),
    "/bills/{id}/bridge": (
        lambda chance: Expected(path=f"/bills/{chance.bill.id}/bridge", texts=("From the bill before to this",)),
    ),
    "/scorecard": (_at("/scorecard", "Metering accuracy"),),
    "/disputes": (_at("/disputes", "Disputes"),),
    "/bespoke": (_at("/bespoke", "Bespoke terms"),),
    "/verifications": (_at("/verifications", "Verify all bills"),),
    "/jobs": (_at("/jobs", "/jobs/"),),
    "/jobs/{id}": (_one("jobs", "job", "Complete"),),
    "/preview": (_preview,),
    "/bills/{id}/invoice": (_pdf("/invoice"), lambda chance: _html(chance, "/invoice?format=html")),
    "/bills/{id}/lineitems.csv": (_csv("/lineitems.csv"),),
    "/settings/anomalies": (_at("/settings/anomalies", "<form"),),
    "/late": (_at("/late", "Late usage"),),
    "/events": (_at("/events", "<table"), _at("/events?eventName=configuration.account.created", "<table")),
    "/events/{id}": (_one("events", "event", "What it says"),),
    "/integrations": (_at("/integrations", "To the ledger"),),
    "/integrations/{id}": (_one("integrations", "integration", "Runs"),),
    "/notifications": (_at("/notifications", "Renamed"),),
    "/notifications/{id}": (_one("notifications", "notification", "What it told last"),),
    "/webhooks": (_at("/webhooks", "Webhooks"),),
    "/webhooks/{id}": (_one("webhooks", "webhook", "Deliveries"),),
    "/settings/email": (_at("/settings/email", "What is sent"),),
    "/settings/email/templates": (_at("/settings/email/templates", "INV {{ bill.number }}"),),
    "/settings/email/templates/new": (_at("/settings/email/templates/new", "INV-1001"),),
    "/settings/email/templates/{template}": (_one("settings/email/templates", "words", "INV-1001"),),
    "/settings/email/optouts": (_at("/settings/email/optouts", "Nobody declined"),),
    "/settings/stripe": (_at("/settings/stripe", "Connect Stripe"),),
    "/usagesources": (_at("/usagesources", "Sources of usage"),),
    "/usagesources/{id}": (_one("usagesources", "usagesource", "How it stands"),),
    "/settings/late": (_at("/settings/late", "<form"),),
    "/meters/health": (_at("/meters/health", "<table"),),
    "/meters/{id}/health": (_one("meters", "meter", "Complete", "/health"),),
    "/holds": (_at("/holds", "No bill is held"),),
    "/anomalies": (_at("/anomalies", "<h1>Anomalies"),),
    "/settings/invoices": (_at("/settings/invoices", "<form"),),
    "/counters": (_at("/counters", "<h1"),),
    "/playground": (_at("/playground", "<h1"),),
    "/rollouts": (_at("/rollouts", "<h1"),),
    "/shadowplans/new": (_at("/shadowplans/new", "Standard"),),
    "/experiments/new": (_at("/experiments/new", "Standard"),),
    "/planmigrations/new": (_at("/planmigrations/new", "Standard"),),
    "/accounting": (_at("/accounting", "Trial balance"),),
    "/accounting/download": (_at("/accounting/download", "sourceId"),),
    "/accounting/schedule/download": (_at("/accounting/schedule/download", "lineAmount"),),
    "/accounting/entries": (_at("/accounting/entries", "Journal entries"),),
    "/exports": (_at("/exports", "<h1>Exports"),),
    "/exports/schedules": (_at("/exports/schedules", "<form"),),
    "/exports/destinations": (_at("/exports/destinations", "<form"),),
    "/insights": (_at("/insights", "<h1"),),
    "/plantemplates/{id}": (_one("plantemplates", "template", "Monthly"),),
    "/products/{id}": (_one("products", "product", "Cloud"),),
    "/accountplans/{id}": (_one("accountplans", "accountplan", "<h1"),),
    "/commitments/{id}": (_one("commitments", "commitment", "<h1"),),
    "/commitments/{id}/edit": (_one("commitments", "commitment", "<h1", "/edit"),),
    "/accounts/{id}/contract": (_of_account("/contract", "<h1"),),
    "/accounts/{id}/charge": (_of_account("/charge", "<h1"),),
    "/accounts/{id}/discount": (_of_account("/discount", "<h1"),),
    "/accounts/{id}/counters": (_of_account("/counters", "<h1"),),
    "/accounts/{id}/known": (_of_account("/known", "<h1"),),
    "/accounts/{id}/end": (_of_account("/end", "<h1"),),
    "/plans/{id}/counterpricings/new": (_one("plans", "plan", "<h1", "/counterpricings/new"),),
    "/sign-in": (_at("/sign-in", "<form"),),
    "/invitation/{token}": (_one("invitation", "invitation", "<form"),),
    "/portal/embed.js": (_at("/portal/embed.js", "iframe"),),
}


def _html(chance: Chance, path: str) -> Expected:
    return Expected(
        path=f"/bills/{chance.bill.id}{path}", texts=tuple(f"{each:,}" for each in chance.lines(chance.place))
    )


def _overview(chance: Chance) -> Expected:
    return Expected(path="", amounts=tuple(chance.lines(len(chance.world.months))))


def _credit(chance: Chance) -> Expected:
    world = chance.world
    of = world.bills[chance.code]
    drawn = sum((each.charges - each.total for each in of), Decimal(0))
    commitment = world.usages[0].commitments.get(chance.code)
    if commitment is not None:
        return Expected(path="/credit", amounts=(commitment, drawn, commitment - drawn))
    balance = world.usages[0].balances.get(chance.code)
    return Expected(path="/credit", amounts=() if balance is None else (balance - drawn,))


# Visited by a customer, in a tab and in a frame: the address behind that of the visit.
PORTAL_LOOKS: dict[str, tuple[Look, ...]] = {
    "": (_overview,),
    "/bills": (lambda chance: Expected(path="/bills", amounts=tuple(each.total for each in _approved(chance))),),
    "/bills/{id}": (_bill,),
    "/bills/{id}/pdf": (_pdf("/pdf"),),
    "/bills/{id}/html": (lambda chance: _html(chance, "/html"),),
    "/bills/{id}/csv": (_csv("/csv"),),
    "/credit": (_credit,),
    "/alerts": (_at("/alerts", "<form"),),
    "/theme.css": (_at("/theme.css", "{"),),
    "/logo": (_at("/logo", "<svg"),),
}


def _approved(chance: Chance) -> list[BillOf]:
    return [bill for bill, after in pairwise(chance.world.bills[chance.code]) if after]
