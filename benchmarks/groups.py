"""Adding a member to a large group compared with a small one, over the whole path.

    python -m benchmarks.groups [--data DIR] [--members 100000] [--rounds 200]

The claim: adding one member to a group of 100,000 costs at most twice as much as to a group of 10,
because memberships are rows and only those that a request names are touched. Both are measured in
turn, in one run, and compared by the CPU that ingress, provisioner and Postgres used, and by the
median time to the answer. The members are written directly into the directory, because their
creation is not measured. A PUT of 10,000 members that changes one of them is printed as well, with
the number of rows that it wrote.
"""

import argparse
import asyncio
import io
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import orjson

from benchmarks.path import SCIM, cpu_seconds
from benchmarks.stack import BenchOrganisation, bench_organisation

MEASURED: Final = ("ingress", "provisioner", "postgres")
SMALL: Final = 10
REPLACED: Final = 10_000
BLOCK: Final = 20
MOST: Final = 2.0
GROUP_URN: Final = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_URN: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEED: Final = """
INSERT INTO directory.member (
    organisation_id, id, user_name_key, status, version, created, last_modified, document)
SELECT $1::text::uuid, member_id, 'm' || number || '@bench.example', 'revoked', member_id,
       now(), now(), jsonb_build_object('userName', 'm' || number || '@bench.example')
FROM (SELECT number, gen_random_uuid() AS member_id FROM generate_series(1, $2) AS number) AS made
RETURNING id::text
"""


class Bench:
    """One organisation with its members; counts the cost of requests to it."""

    def __init__(self, target: BenchOrganisation, http: aiohttp.ClientSession) -> None:
        self._target = target
        self._http = http

    async def send(self, method: str, path: str, body: dict[str, Any]) -> str:
        """Send, and require the decided answer; returns the `id` in it, or an empty text."""
        async with self._http.request(
            method, self._target.base + path, data=io.BytesIO(orjson.dumps(body)), headers=SCIM
        ) as answer:
            content = await answer.read()
            if answer.status >= 300:
                raise SystemExit(f"{method} {path.partition('?')[0]}: {answer.status} {content!r}")
            if answer.headers.get("Rollcall-Outcome") is not None:
                raise SystemExit(f"{method} {path.partition('?')[0]} was not decided in time")
            return str(orjson.loads(content)["id"]) if content else ""

    async def make_group(self, name: str, members: list[str]) -> str:
        """Create a group in requests of at most 10,000 members; returns its id."""
        first = [{"value": member} for member in members[:REPLACED]]
        body = {"schemas": [GROUP_URN], "displayName": name, "members": first}
        group = await self.send("POST", "/Groups?attributes=displayName", body)
        for start in range(REPLACED, len(members), REPLACED):
            await self.add(group, members[start : start + REPLACED])
        return group

    async def add(self, group: str, members: list[str]) -> float:
        """Add members to a group; returns the seconds until the answer."""
        value = [{"value": member} for member in members]
        operations = [{"op": "add", "path": "members", "value": value}]
        began_s = time.perf_counter()
        await self.send(
            "PATCH", f"/Groups/{group}", {"schemas": [PATCH_URN], "Operations": operations}
        )
        return time.perf_counter() - began_s

    def cpu_s(self) -> float:
        """CPU seconds that the three have used so far."""
        return sum(cpu_seconds(self._target.stack["pids"][name]) for name in MEASURED)


async def measure(target: BenchOrganisation, members: int, rounds: int) -> bool:
    """Seed, measure, print; returns whether the claim holds."""
    database = await asyncpg.connect(target.stack["database_url"])
    total = members + 2 * rounds + 1
    rows = await database.fetch(SEED, target.organisation_id, total)
    await database.execute("ANALYZE directory.member")
    ids = [row[0] for row in rows]
    headers = {"Authorization": f"Bearer {target.key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        bench = Bench(target, http)
        groups = {
            "large": await bench.make_group("Large", ids[:members]),
            "small": await bench.make_group("Small", ids[:SMALL]),
        }
        fresh = iter(ids[members:])
        for group in groups.values():
            await bench.add(group, [next(fresh)])  # connections and statements are warm
        taken: dict[str, list[float]] = {name: [] for name in groups}
        cpu_s = dict.fromkeys(groups, 0.0)
        for _ in range((rounds - 1) // BLOCK):
            for name, group in groups.items():
                before_s = bench.cpu_s()
                taken[name] += [await bench.add(group, [next(fresh)]) for _ in range(BLOCK)]
                cpu_s[name] += bench.cpu_s() - before_s
        found = await database.fetch(
            "SELECT group_id::text, count(*) FROM directory.group_member GROUP BY 1"
        )
        sizes = {row[0]: row[1] for row in found}
        for name, group in groups.items():
            print(
                f"added to a group of {sizes[group] - len(taken[name]) - 1:7,}: "
                f"{cpu_s[name] / len(taken[name]) * 1000:6.2f} ms of CPU, "
                f"median {statistics.median(taken[name]) * 1000:6.2f} ms, {len(taken[name])} times"
            )
        by_cpu = cpu_s["large"] / cpu_s["small"]
        by_time = statistics.median(taken["large"]) / statistics.median(taken["small"])
        print(f"the large one costs {by_cpu:.2f}× the CPU and {by_time:.2f}× the time", end=" ")
        print(f"(at most {MOST}×)")
        await replace(bench, database, target, ids)
    await database.close()
    return max(by_cpu, by_time) <= MOST


async def replace(
    bench: Bench, database: asyncpg.Connection, target: BenchOrganisation, ids: list[str]
) -> None:
    """A PUT of all members of a group, with one of them replaced."""
    size = min(REPLACED, len(ids) - 1)
    group = await bench.make_group("Replaced", ids[:size])
    before = await _rows_written(database)
    members = [{"value": member} for member in ids[1 : size + 1]]
    body = {"schemas": [GROUP_URN], "displayName": "Replaced", "members": members}
    began_s, began_cpu_s = time.perf_counter(), bench.cpu_s()
    await bench.send("PUT", f"/Groups/{group}?attributes=displayName", body)
    took_s, cpu_s = time.perf_counter() - began_s, bench.cpu_s() - began_cpu_s
    written = await _rows_written(database) - before
    print(
        f"a PUT of {size:,} members, one of them new: {took_s * 1000:.0f} ms, "
        f"{cpu_s * 1000:.0f} ms of CPU, {written} rows of memberships written"
    )


async def _rows_written(database: asyncpg.Connection) -> int:
    """Memberships inserted and deleted so far, once the counters no longer change."""
    query = """
        SELECT n_tup_ins + n_tup_del FROM pg_stat_user_tables WHERE relname = 'group_member'
    """
    last, same = -1, 0
    while same < 3:
        await database.execute("SELECT pg_stat_clear_snapshot()")
        now = int(await database.fetchval(query))
        last, same = now, same + 1 if now == last else 0
        await asyncio.sleep(0.5)
    return last


def main() -> None:
    """Measure; exit status 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    with bench_organisation(args.data) as target:
        sys.exit(0 if asyncio.run(measure(target, args.members, args.rounds)) else 1)


if __name__ == "__main__":
    main()
