"""A steady load from within the cluster, counted here; in the end every 2xx is looked for.

Runs in a pod of our image, as an identity provider would: a new user every so often, each request
on a connection of its own, so that every replica gets some. Prints one JSON object:

    {"sent": 300, "failed": ["503 …"], "lost": [], "twice": []}

Arguments: SCIM base, key, seconds, requests a second, how often a request is tried.
"""

import asyncio
import json
import sys
import time
import uuid
from typing import Any

import aiohttp

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PAGE = 1000


async def create(session: aiohttp.ClientSession, base: str, name: str, tries: int) -> str:
    """POST a user; empty if it was answered 201, or 409 to a repetition, else what came."""
    found = ""
    body = {"schemas": [USER], "userName": name, "active": True}
    for attempt in range(tries):
        try:
            async with session.post(f"{base}/Users", json=body) as answer:
                if answer.status == 201 or (attempt and answer.status == 409):
                    return ""
                found = f"{answer.status} {(await answer.text())[:200]}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            found = f"{type(error).__name__} {error}"
        await asyncio.sleep(0.5 * (attempt + 1))
    return found


async def let_in(session: aiohttp.ClientSession, base: str) -> None:
    """Wait until this pod is let in: a network plug-in needs a moment to know its address."""
    deadline = time.monotonic() + 60
    in_a_row = 0
    while in_a_row < 5 and time.monotonic() < deadline:
        try:
            async with session.get(f"{base}/ServiceProviderConfig") as answer:
                in_a_row = in_a_row + 1 if answer.status == 200 else 0
        except (aiohttp.ClientError, TimeoutError, OSError):
            in_a_row = 0
        await asyncio.sleep(0.2)


async def everybody(session: aiohttp.ClientSession, base: str) -> list[str]:
    """The userName of every user that is there."""
    names: list[str] = []
    while True:
        url = f"{base}/Users?startIndex={len(names) + 1}&count={PAGE}"
        async with session.get(url) as answer:
            page: dict[str, Any] = await answer.json(content_type=None)
        names += [each["userName"] for each in page.get("Resources", [])]
        if len(names) >= page["totalResults"] or not page.get("Resources"):
            return names


async def settled(session: aiohttp.ClientSession, base: str, wanted: set[str]) -> list[str]:
    """Everybody, once all that is wanted is there, or after a minute."""
    names: list[str] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            names = await everybody(session, base)
        except (aiohttp.ClientError, TimeoutError, KeyError):
            names = []
        if wanted <= set(names):
            break
        await asyncio.sleep(1.0)
    return names


async def main() -> None:
    base, key, seconds, rate, tries = sys.argv[1:6]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/scim+json"}
    timeout = aiohttp.ClientTimeout(total=30)
    failed: list[str] = []
    accepted: set[str] = set()
    async with aiohttp.ClientSession(
        headers=headers, timeout=timeout, connector=aiohttp.TCPConnector(force_close=True, limit=0)
    ) as session:

        async def one(name: str) -> None:
            found = await create(session, base, name, int(tries))
            if found:
                failed.append(f"{time.strftime('%X')} {found}")
            else:
                accepted.add(name)

        await let_in(session, base)
        print("started", flush=True)
        began = time.monotonic()
        tasks = []
        while time.monotonic() - began < float(seconds):
            tasks.append(asyncio.create_task(one(f"{uuid.uuid4().hex}@load.example")))
            await asyncio.sleep(1 / float(rate))
        await asyncio.gather(*tasks)
        names = await settled(session, base, accepted)
    print(
        json.dumps(
            {
                "sent": len(tasks),
                "failed": failed,
                "lost": sorted(accepted - set(names)),
                "twice": sorted({name for name in names if names.count(name) > 1}),
            }
        ),
        flush=True,
    )


asyncio.run(main())
