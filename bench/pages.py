"""The pages of the console and of the customer's portal over HTTP, with many accounts, measurements and bills behind
them: every page that answers a GET, with real ids and different accounts, each holding what the bench worked out.

A page of the console's tables that is not visited here ends the run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter

import httpx
from bill_world import EMAIL, MONTHS, PASSWORD, World, build
from ingest import Options
from page_looks import LOOKS, PORTAL_LOOKS, UNVISITED, Chance, Expected, Look
from results import CheckFailed, Figure, check, compare, milliseconds, percentile, rounded
from rich.progress import Progress
from stage import Watch, tenant_on

from tallystick.console.site import OPEN_PAGES, PAGES

VISITS = 40  # of each page; quick: 2
CUSTOMERS = 10  # who look at the portal by turns; quick: 1
LIMIT = 200  # milliseconds that a page may take at the 95th percentile
EXACT = re.compile(r'data-value="(-?[0-9.]+)"')
FRAME = {"sec-fetch-dest": "iframe"}
TAB, IN_FRAME = "/portal", "/portal/e/{visit}"
OPENING = ("/portal/open", "/portal/embed")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request, and what its answer must hold. `status` is another where the page leads on."""

    http: httpx.Client
    expected: Expected
    status: int = 200


@dataclass(frozen=True, kw_only=True)
class Visited:
    """How long the visits of a page took, in seconds, and what the server used for one; the first one by itself."""

    page: str
    first: float
    times: list[float]
    processor: float
    others: float


def pages(options: Options) -> list[Figure]:
    """p95 of each page, beside what a page may take."""
    with tenant_on(options.directory / "pages") as tenant:
        world = build(tenant, options, 2 if options.quick else MONTHS)
        visits, customers = (2, 1) if options.quick else (VISITS, CUSTOMERS)
        found = visit_all(world, visits, customers, options.progress)
    return _figures(world, found, visits)


def names() -> list[str]:
    """What is visited: the pages of the tables, those that are looked at in several ways with a number."""
    tables = [*LOOKS.items()]
    tables += [(base + page, looks) for page, looks in PORTAL_LOOKS.items() for base in (TAB, IN_FRAME)]
    return [*OPENING, *(name for page, looks in tables for name, _ in _ways(page, looks))]


def visit_all(world: World, visits: int, customers: int, progress: Progress) -> list[Visited]:
    """Visit each page so many times, by people of the organisation and so many of its customers."""
    there = {page.path for page in (*PAGES, *OPEN_PAGES) if page.method == "GET"}
    check(
        "pages that the bench does not visit", there - UNVISITED - {name.partition(" [")[0] for name in names()}, set()
    )
    planned = dict(_planned(world, visits, customers))
    task = progress.add_task("pages", total=len(planned))
    found = []
    for name, of_page in planned.items():
        found.append(_visit(world, name, of_page))
        progress.advance(task)
    return found


def _planned(world: World, visits: int, customers: int) -> Iterator[tuple[str, list[Visit]]]:
    """The visits of each page; where there are several ways to look at one, they have a number."""
    chance = random.Random(1)
    codes = sorted(world.accounts)

    def about(code: str | None = None, approved: bool = False) -> Chance:
        places = len(world.months) - approved
        return Chance(world=world, code=code or chance.choice(codes), place=chance.randrange(places))

    person = _signed_in(world)
    for page, looks in LOOKS.items():
        for name, look in _ways(page, looks):
            yield name, [Visit(http=person, expected=look(about())) for _ in range(visits)]
    who = [*chance.sample(codes, customers - customers // 5 * 2), *codes[: customers // 5 * 20 : 10]]
    tabs, frames = _links(world, who, visits), _links(world, who, visits)
    for page, links in zip(OPENING, (tabs, frames), strict=True):
        yield page, [_opening(world, link, page) for link in links]
    inside = {code: _opened(world, code) for code in who}
    framed = {code: _framed(world, code) for code in who}
    for page, looks in PORTAL_LOOKS.items():
        for base, of in ((TAB, inside), (IN_FRAME, framed)):
            for name, look in _ways(base + page, looks):
                turns = [who[turn % len(who)] for turn in range(visits)]
                yield name, [Visit(http=of[code], expected=look(about(code, approved=True))) for code in turns]


def _ways(page: str, looks: Iterable[Look]) -> Iterator[tuple[str, Look]]:
    for number, look in enumerate(looks):
        yield (f"{page} [{number + 1}]" if number else page), look


def _visit(world: World, name: str, visits: list[Visit]) -> Visited:
    times = []
    with Watch(world.tenant.server) as watch:
        for each in visits:
            start = perf_counter()
            reply = each.http.get(each.expected.path, follow_redirects=False)
            times.append(perf_counter() - start)
            check_page(name, each, reply)
    return Visited(
        page=name,
        first=times[0],
        times=times,
        processor=watch.seconds / len(visits),
        others=watch.others,
    )


def check_page(name: str, visit: Visit, reply: httpx.Response) -> None:
    """Raise CheckFailed unless the answer holds all that is expected."""
    if reply.status_code != visit.status:
        raise CheckFailed(f"{name}: {visit.expected.path} answered {reply.status_code}: {reply.text[:500]}")
    text = reply.content.decode(errors="replace")
    shown = {Decimal(each) for each in EXACT.findall(text)}
    lacking = [each for each in visit.expected.amounts if each not in shown]
    lacking += [each for each in visit.expected.texts if each not in text]
    if lacking:
        raise CheckFailed(f"{name}: {visit.expected.path} does not show {lacking[0]}")


# -------------------------------------------------------------------------------------------------- who looks


def _client(world: World, headers: Mapping[str, str] = {}, path: str = "") -> httpx.Client:
    url = world.tenant.server.url + path
    return httpx.Client(base_url=url, timeout=120, headers={"accept": "text/html", **headers})


def _signed_in(world: World) -> httpx.Client:
    person = _client(world)
    fields, site = {"email": EMAIL, "password": PASSWORD}, {"origin": world.tenant.server.url}
    reply = person.post("/sign-in", data=fields, headers=site)
    check("status of signing in", reply.status_code, 303)
    return person


def _links(world: World, codes: list[str], count: int) -> list[str]:
    """Tokens of new links, for accounts by turns."""
    turns = [codes[turn % len(codes)] for turn in range(count)]
    return [_link(world, code) for code in turns]


def _link(world: World, code: str) -> str:
    return str(world.tenant.client.post(f"/accounts/{world.accounts[code]}/portalsessions", {})["token"])


def _opening(world: World, token: str, page: str) -> Visit:
    expected = Expected(path=f"{page}?token={token}")
    return Visit(http=_client(world, FRAME if page == OPENING[1] else {}), expected=expected, status=303)


def _opened(world: World, code: str) -> httpx.Client:
    """A customer in a tab of a browser; addresses begin behind /portal."""
    http = _client(world, path=TAB)
    check("status of a link", http.get("/open", params={"token": _link(world, code)}).status_code, 303)
    return http


def _framed(world: World, code: str) -> httpx.Client:
    """A customer in a frame; addresses begin behind that of the visit."""
    with _client(world, FRAME) as http:
        reply = http.get("/portal/embed", params={"token": _link(world, code)})
    check("status of a link in a frame", reply.status_code, 303)
    return _client(world, FRAME, reply.headers["location"])


# --------------------------------------------------------------------------------------------------- figures


def _figures(world: World, found: list[Visited], visits: int) -> list[Figure]:
    bills, measured = sum(map(len, world.bills.values())), sum(each.count for each in world.usages)
    of = f"{len(world.accounts):,} accounts, {measured:,} measurements, {bills:,} bills"
    every = [each for page in found for each in page.times]
    figures = [
        Figure(
            name="pages, all",
            workload=f"{len(found)} pages of console and portal, {visits} visits each, one after the other, of {of}; "
            "amounts checked. The value is p95 by the clock.",
            value=milliseconds(percentile(every, 95)),
            unit="ms",
            p50=milliseconds(percentile(every, 50)),
            p99=milliseconds(percentile(every, 99)),
            compared_with=(compare(percentile(every, 95) * 1000, "the limit", LIMIT, "ms"),),
        )
    ]
    for page in sorted(found, key=lambda each: -each.processor):
        slow, processor = percentile(page.times, 95) * 1000, max(page.processor * 1000, 0.1)
        figures.append(
            Figure(
                name=f"page {page.page}",
                workload=f"{visits} visits about different accounts, {of}; the first took {page.first * 1000:.0f} ms. "
                "The value is p95 by the clock.",
                value=rounded(slow),
                unit="ms",
                p50=milliseconds(percentile(page.times, 50)),
                p99=milliseconds(percentile(page.times, 99)),
                others=rounded(page.others),
                compared_with=(
                    compare(slow, "the limit", LIMIT, "ms"),
                    compare(slow, "the server's processor time for a visit", processor, "ms"),
                ),
            )
        )
    return figures
