"""A service from start to end: what is open when, what is logged, and why it may end by itself."""

import asyncio
from collections.abc import Sequence

import aiohttp
import pytest

from rollcall.http.server import CannotListen
from rollcall.kafka import watchdog
from rollcall.kafka.watchdog import NoProgress
from rollcall.service import CannotServe, Service

DEADLINE_S = 20.0


class Counted(Service):
    """Notes the order of what it is asked for; a test opens and closes its gates."""

    def __init__(self, port: int = 0, stall_s: float | None = None) -> None:
        super().__init__("notifier", admin_host="127.0.0.1", admin_port=port, stall_s=stall_s)
        self.seen: list[str] = []
        self.waits_for: list[str] = ["Kafka"]
        self.still: list[str] = []
        self.is_working = asyncio.Event()
        self.fails = asyncio.Event()

    def missing(self) -> Sequence[str]:
        return self.waits_for

    def not_alive(self) -> Sequence[str]:
        return self.still

    async def open(self) -> None:
        self.seen.append("open")

    async def work(self, stop: asyncio.Event) -> None:
        self.seen.append("work")
        self.is_working.set()
        ends = [asyncio.create_task(each.wait()) for each in (stop, self.fails)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for each in ends:
            each.cancel()
        if self.fails.is_set():
            raise CannotServe("a part has ended")
        self.seen.append("finished")

    async def close(self) -> None:
        reasons = ", ".join(self.not_ready())
        self.seen.append(f"close while not ready: {reasons}")


async def ready(service: Service) -> tuple[int, dict[str, object]]:
    url = f"http://127.0.0.1:{service.admin_port}/readyz"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.json()


async def test_it_starts_works_and_drains_in_order() -> None:
    service, stop = Counted(), asyncio.Event()
    async with asyncio.timeout(DEADLINE_S):
        running = asyncio.create_task(service.serve(stop))
        await service.is_working.wait()
        waiting = await ready(service)
        service.waits_for = []
        well = await ready(service)
        stop.set()
        await running

    assert waiting == (503, {"status": "failing", "reasons": ["Kafka"]})
    assert well == (200, {"status": "ok"})
    assert service.seen == ["open", "work", "finished", "close while not ready: draining"]


async def test_a_service_that_ends_by_itself_closes_its_parts_and_says_why() -> None:
    service = Counted()
    async with asyncio.timeout(DEADLINE_S):
        running = asyncio.create_task(service.serve(asyncio.Event()))
        await service.is_working.wait()
        service.fails.set()
        with pytest.raises(CannotServe, match="a part has ended"):
            await running

    assert service.seen[-1] == "close while not ready: Kafka, draining"


async def test_a_service_that_stands_still_drains_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[float] = []  # the real one would end the process that runs the tests, 30 s later
    monkeypatch.setattr(watchdog, "end_hard_within", ends.append)
    service = Counted(stall_s=5)
    async with asyncio.timeout(DEADLINE_S):
        running = asyncio.create_task(service.serve(asyncio.Event()))
        await service.is_working.wait()
        service.still = ["partition 0 makes no progress"]
        with pytest.raises(NoProgress):
            await running

    assert service.seen[-2:] == ["finished", "close while not ready: Kafka, draining"]
    assert ends == [watchdog.EXIT_WITHIN_S]


async def test_what_stands_still_is_nothing_to_a_service_without_a_limit() -> None:
    service, stop = Counted(), asyncio.Event()
    service.still = ["partition 0 makes no progress"]
    async with asyncio.timeout(DEADLINE_S):
        running = asyncio.create_task(service.serve(stop))
        await service.is_working.wait()
        stop.set()
        await running


async def test_a_bug_in_its_work_is_raised_as_it_is() -> None:
    class Broken(Counted):
        async def work(self, stop: asyncio.Event) -> None:
            raise ZeroDivisionError

    service = Broken()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(ZeroDivisionError):
            await service.serve(asyncio.Event())

    assert service.seen[-1].startswith("close")


async def test_without_its_port_it_does_not_begin() -> None:
    taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with taken:
        service = Counted(port=taken.sockets[0].getsockname()[1])
        with pytest.raises(CannotListen):
            await service.serve(asyncio.Event())

    assert service.seen == []
