"""The oracle: what the intent logs say must count, against what the server says does. It knows nothing of the product.

Every member that was answered must be among the raw measurements once, field by field as it was sent, both where they
are looked at and in an exported file; nothing else may be there; usage queries and each line of each bill must be the
sums of it, exactly.
"""

from __future__ import annotations

import gzip
import http.client
import json
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PRICE = Decimal("0.01")  # of a call
BILLED_MONTH = "2025-05"
NAMED = 5  # faults of one kind that are named
ROWS = 20_000
MONTHS = {"startDate": "2025-04-01T00:00:00Z", "endDate": "2025-07-01T00:00:00Z"}  # in which all is sent
EXPORT_SECONDS = 300


@dataclass
class Expected:
    """By uid what was acknowledged; and what was wrong with the answers."""

    members: dict[str, dict[str, str]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


class Reader:
    """Asks a server, with exact numbers."""

    def __init__(self, host: str, port: int, organization_id: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=300)
        self._base = f"/organizations/{organization_id}"
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def ask(self, method: str, path: str, body: object = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        self._connection.request(method, self._base + path, sent, self._headers)
        reply = self._connection.getresponse()
        text = reply.read()
        assert reply.status == 200, f"{method} {path}: {reply.status} {text[:500]!r}"
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)

    def exported(self) -> Iterator[Any]:
        """The measurements of the files of an export."""
        asked = {"sourceType": "USAGE", "exportFileFormat": "JSONL", **MONTHS}
        job = f"/dataexports/jobs/{self.ask('POST', '/dataexports/adhoc', asked)['jobId']}"
        until = time.monotonic() + EXPORT_SECONDS
        while (status := self.ask("GET", job)["status"]) != "SUCCEEDED":
            assert status in {"PENDING", "RUNNING"}, status
            assert time.monotonic() < until, f"no export within {EXPORT_SECONDS} s"
            time.sleep(0.05)
        link = urlsplit(self.ask("GET", f"{job}/getdownloadurl")["url"])
        self._connection.request("GET", f"{link.path}?{link.query}")
        reply = self._connection.getresponse()
        content = reply.read()
        assert reply.status == 200, content[:500]
        for file in _unpacked(content):
            for line in gzip.decompress(file).splitlines():
                yield json.loads(line, parse_float=Decimal, parse_int=Decimal)

    def every(self, path: str) -> Iterator[Any]:
        """All rows of a list."""
        token = ""
        while True:
            page = self.ask("GET", f"{path}{'&' if '?' in path else '?'}pageSize=100{token}")
            yield from page["data"]
            if not page.get("nextToken"):
                return
            token = f"&nextToken={page['nextToken']}"


def _unpacked(content: bytes) -> Iterator[bytes]:
    """The files of measurements: one as it is, or several in an archive with their manifest."""
    if not zipfile.is_zipfile(BytesIO(content)):
        yield content
        return
    with zipfile.ZipFile(BytesIO(content)) as archive:
        yield from (archive.read(name) for name in archive.namelist() if name.endswith(".gz"))


def read_logs(directory: Path) -> Expected:
    """What all senders meant to send, and what they were told."""
    expected = Expected()
    for log in sorted(directory.glob("*.intents")):
        open_batch: list[dict[str, Any]] = []
        with log.open(encoding="utf-8") as lines:
            for line in lines:
                said = json.loads(line)
                if "members" in said:
                    open_batch = said["members"]
                    continue
                _hold_answer(expected, f"{log.stem} batch {said['batch']}", open_batch, said)
                open_batch = []
        expected.unanswered |= {each["sent"]["uid"] for each in open_batch if each["as"] == "new"}
    return expected


def _hold_answer(expected: Expected, where: str, members: list[dict[str, Any]], said: dict[str, Any]) -> None:
    """Keep what was acknowledged; the first answer to a batch must say of each member what it is."""
    if said["status"] != 200 or len(said["verdicts"]) != len(members):
        expected.faults.append(f"answer: {where}: {said['status']} {said['verdicts']}"[:500])
        return
    for member, verdict in zip(members, said["verdicts"], strict=True):
        sent, allowed = member["sent"], {member["as"]}
        if member["as"] == "new":
            expected.members[sent["uid"]] = sent
            allowed = {"accepted"} if said["tries"] == 1 else {"accepted", "duplicate"}
        if verdict not in allowed:
            expected.faults.append(
                f"verdict: {where}: {sent['uid']} ({member['as']}, {said['tries']} tries): {verdict}"
            )


def compare(expected: Expected, server: Reader, meter_id: str) -> list[str]:
    """Every way in which raw export, usage queries and bills differ from what was acknowledged."""
    accounts = {each["id"]: each["code"] for each in server.every("/accounts")}
    return [
        *_short(expected.faults),
        *_short(_raw_faults(expected, server, accounts)),
        *_short(_export_faults(expected, server)),
        *_short(_query_faults(expected, server, meter_id)),
        *_short(_bill_faults(expected, server)),
    ]


def _short(faults: list[str]) -> list[str]:
    """The first faults of each kind, and how many there are."""
    kinds: dict[str, list[str]] = {}
    for fault in faults:
        kinds.setdefault(fault.partition(":")[0], []).append(fault)
    return [
        text
        for kind, found in kinds.items()
        for text in [*found[:NAMED], *([f"{kind}: {len(found)} in all"] if len(found) > NAMED else [])]
    ]


def _raw_faults(expected: Expected, server: Reader, accounts: dict[str, str]) -> list[str]:
    faults: list[str] = []
    seen: set[str] = set()
    for account_id in accounts:
        answer = server.ask("POST", "/usage/query", {"accountIds": [account_id], "limit": ROWS})
        if answer["hasMoreData"]:
            faults.append(f"raw: account {account_id} has more than {ROWS} measurements; take more accounts")
        for row in answer["data"]:
            uid = row["uid"]
            if uid in seen:
                faults.append(f"twice: {uid}")
            seen.add(uid)
            sent = expected.members.get(uid)
            if sent is None:
                if uid not in expected.unanswered:
                    faults.append(f"invented: {uid}")
            elif (different := _difference(sent, row)) is not None:
                faults.append(f"changed: {uid}: {different}")
    faults += [f"lost: {uid}" for uid in expected.members if uid not in seen]
    return faults


def _export_faults(expected: Expected, server: Reader) -> list[str]:
    faults: list[str] = []
    seen: set[str] = set()
    for row in server.exported():
        uid = row["uid"]
        if uid in seen:
            faults.append(f"export: twice: {uid}")
        seen.add(uid)
        sent = expected.members.get(uid)
        shown = {**row, "fields": {name: row[name] for name in ("calls", "tokens", "model")}}
        if sent is None:
            if uid not in expected.unanswered:
                faults.append(f"export: invented: {uid}")
        elif (different := _difference(sent, shown)) is not None:
            faults.append(f"export: changed: {uid}: {different}")
    return faults + [f"export: lost: {uid}" for uid in expected.members if uid not in seen]


def _difference(sent: dict[str, str], row: dict[str, Any]) -> str | None:
    fields = {"calls": Decimal(sent["calls"]), "tokens": Decimal(sent["tokens"]), "model": sent["model"]}
    wanted = {"meterCode": "llm", "accountCode": sent["account"], "fields": fields}
    wanted["undeclared"] = {"other": {"note": sent["note"]}} if sent["note"] else None
    found = {name: row.get(name) or None for name in wanted}
    found["fields"] = {
        name: value if name == "model" or value is None else Decimal(value)
        for name, value in (row.get("fields") or {}).items()
    }
    if found != wanted:
        return f"sent {wanted}, found {found}"
    if _moment(row["ts"]) != _moment(sent["ts"]):
        return f"sent at {sent['ts']}, found {row['ts']}"
    return None


def _moment(text: str) -> tuple[str, str]:
    """Seconds and their decimals, so that trailing zeros make no difference."""
    whole, _, decimals = text.rstrip("Z").partition(".")
    return whole, decimals.rstrip("0")


def _query_faults(expected: Expected, server: Reader, meter_id: str) -> list[str]:
    counts: Counter[tuple[str, str]] = Counter()
    tokens: dict[tuple[str, str], Decimal] = {}
    calls: Counter[tuple[str, str]] = Counter()
    for sent in expected.members.values():
        key = sent["account"], sent["ts"][:10]
        counts[key] += 1
        tokens[key] = tokens.get(key, Decimal(0)) + Decimal(sent["tokens"])
        calls[key] += int(sent["calls"])
    faults = []
    asked = [
        {"meterId": meter_id, "fieldCode": field, "fieldType": "MEASURE", "function": function}
        for field, function in (("tokens", "COUNT"), ("tokens", "SUM"), ("calls", "SUM"))
    ]
    groups = [{"groupType": "ACCOUNT"}, {"groupType": "TIME", "frequency": "DAY"}]
    answer = server.ask("POST", "/usage/query", {"aggregations": asked, "groups": groups})
    assert not answer["hasMoreData"], "more than a page of accounts and days"
    found = {
        (row["accountCode"], row["startDate"][:10]): tuple(
            Decimal(row[name]) for name in ("tokens.COUNT", "tokens.SUM", "calls.SUM")
        )
        for row in answer["data"]
    }
    for key in counts.keys() | found.keys():
        wanted = Decimal(counts[key]), tokens.get(key, Decimal(0)), Decimal(calls[key])
        if found.get(key) != wanted:
            faults.append(f"query: {key}: {found.get(key)}, not {wanted}")
    return faults


def _bill_faults(expected: Expected, server: Reader) -> list[str]:
    calls: Counter[str] = Counter()
    for sent in expected.members.values():
        if sent["ts"].startswith(BILLED_MONTH):
            calls[sent["account"]] += int(sent["calls"])
    faults = []
    billed: set[str] = set()
    for bill in server.every("/bills"):
        code, used = bill["accountCode"], calls[bill["accountCode"]]
        if code in billed:
            faults.append(f"bill: two of account {code}")
        billed.add(code)
        line = {"quantity": used, "units": used, "subtotal": used * PRICE, "convertedSubtotal": used * PRICE}
        wanted = [line] if used else []
        found = [{name: Decimal(each[name]) for name in line} for each in bill["lineItems"]]
        if (Decimal(bill["billTotal"]), found) != (used * PRICE, wanted) or not bill["startDate"].startswith(
            BILLED_MONTH
        ):
            faults.append(f"bill: {code}: {bill['startDate']} {bill['billTotal']} {found}, not {used * PRICE} {wanted}")
    return faults + [f"bill: {code}: none, not {used * PRICE}" for code, used in calls.items() if code not in billed]
