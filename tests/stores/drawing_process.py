"""Processes that run bill jobs on shared records and may die at any step: `python drawing_process.py URL JOBS...`.

One process for each list of jobs, forked from this one before it opens anything. The seed of the first is given by the
environment's SEED, of each other one more. Prints how they ended: 0 when all jobs were done, 9 where one died.
"""

from __future__ import annotations

import os
import random
import sys
import traceback
from decimal import Decimal

from billing_world import World, at, id_of
from credit_world import balance, commitment, metered
from tallystick.pipeline.bill_run import run_job
from tallystick.ports import OrganizationUsage, UsageRow
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.records_sql import open_records

ACCOUNTS = tuple(f"account{number}" for number in range(6))
MONTHS = (1, 2, 3)
DIED = 9
STEPS = 12  # at most so many steps until it dies


class Crash(Exception):
    """The process stops here; what was not committed never happened."""


def shop() -> World:
    """Accounts that hold a wallet, and every other one a commitment from 11 February on that goes first."""
    world = metered(1)
    for number, code in enumerate(ACCOUNTS):
        owner = {"account_id": id_of("account", code)}
        world.account(code)
        world.account_plan(account=code)
        balance(world, f"wallet of {code}", **owner)
        if number % 2:
            commitment(world, f"commitment of {code}", amount=Decimal(150), start_date=at("2023-02-11").date(), **owner)
    return world


def usage() -> tuple[int, OrganizationUsage]:
    """200 calls on the 15th of each month for every account: each process has its own copy."""
    store, rows = MemoryUsage(), []
    for account in ACCOUNTS:
        for month in MONTHS:
            rows.append(
                UsageRow(
                    position=len(rows) + 1,
                    organization_id=World().organization_id,
                    meter_id=id_of("meter", "requests"),
                    account_id=id_of("account", account),
                    uid=f"{account}/{month}",
                    ts=at(f"2023-{month:02}-15"),
                    ets=None,
                    received=at(f"2023-{month:02}-15"),
                    numbers={"calls": Decimal(200)},
                    texts={},
                )
            )
    store.add(rows, len(rows))
    return len(rows), store.organization(World().organization_id)


def main(url: str, jobs: list[str], seed: int) -> int:
    """Run jobs, in an order of chance, through crashes that are recovered from and perhaps one that is not."""
    chance = random.Random(seed)
    store, (_, used) = open_records(url), usage()
    records = store.organization(World().organization_id)
    left = chance.randint(1, STEPS) if seed % 2 else None

    def failpoint(step: str) -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if not left:
                os._exit(DIED)  # like kill -9: nothing is closed, nothing is rolled back by this process
        if chance.random() < 0.1:
            raise Crash(step)

    for job in chance.sample(jobs, len(jobs)):
        done = False
        while not done:
            try:
                run_job(records, used, job, failpoint=failpoint, chunk_size=2)
                done = True
            except Crash:
                continue
    store.close()
    return 0


def fork(url: str, jobs: list[str], seed: int) -> int:
    """The id of a new process, which ends with what `main` answers."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = main(url, jobs, seed)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


if __name__ == "__main__":
    first = int(os.environ["SEED"])
    started = [fork(sys.argv[1], jobs.split(","), first + place) for place, jobs in enumerate(sys.argv[2:])]
    print(*(os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in started))
