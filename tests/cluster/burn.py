"""Ask for lists as fast as they are answered, so that the door's CPU is busy; prints how many were.

Runs in a pod of our image. Arguments: SCIM base, key, seconds, how many at once.
"""

import asyncio
import json
import sys
import time

import aiohttp


async def main() -> None:
    base, key, seconds, at_once = sys.argv[1:5]
    answered = 0
    deadline = time.monotonic() + float(seconds)
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {key}"},
        timeout=aiohttp.ClientTimeout(total=30),
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
    ) as session:

        async def ask() -> None:
            nonlocal answered
            while time.monotonic() < deadline:
                try:
                    async with session.get(f"{base}/Users?count=20") as answer:
                        await answer.read()
                        answered += answer.status == 200
                except (aiohttp.ClientError, TimeoutError, OSError):
                    await asyncio.sleep(0.2)

        print("started", flush=True)
        await asyncio.gather(*(ask() for _ in range(int(at_once))))
    print(json.dumps({"answered": answered}), flush=True)


asyncio.run(main())
