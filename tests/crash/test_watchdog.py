"""A worker that stands still for no known reason: its process ends, the next one goes on."""

import json

import pytest

from rollcall.postgres.pool import Service
from tests.support.load import Answered, applied, assert_once, creates
from tests.support.stack import Process, Stack, until

SOON = {
    f"ROLLCALL_{service}_{name}": value
    for service in ("PROVISIONER", "NOTIFIER")
    for name, value in (("STALL_S", "3"), ("STATEMENT_TIMEOUT_S", "1"), ("DRAIN_S", "1"))
}


def stalled_line(process: Process) -> dict[str, object]:
    """The one ERROR line that says why the process ended."""
    lines = [line for line in process.log.read_text().splitlines() if line.startswith("{")]
    [found] = [each for each in map(json.loads, lines) if each["event"] == "service.stalled"]
    return dict(found)


@pytest.mark.long
@pytest.mark.parametrize("how", ["hang", "block"])
@pytest.mark.parametrize("service", ["provisioner", "notifier"])
async def test_a_process_whose_worker_is_stuck_ends_itself(
    service: Service, how: str, stack: Stack
) -> None:
    """`hang`: one worker waits for ever; `block`: it never gives the event loop back."""
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "0.5"
    other: Service = "notifier" if service == "provisioner" else "provisioner"
    await stack.start("ingress")
    await stack.start(other)
    fault = f"{service}.before_batch:2:{how}"
    stack.environment.update(SOON)
    stuck = await stack.start(service, ROLLCALL_FAULT=fault)
    organisation = await stack.organisation()
    answered = Answered()
    async with stack.client(organisation) as client:
        for round_ in range(3):
            await creates(client, 10, clients=2, prefix=f"r{round_}-", answered=answered)

    status = await stuck.ended(40)

    assert status == 1
    line = stalled_line(stuck)
    assert (line["level"], line["runbook"]) == ("error", "service-stalled")
    await stack.start(service)
    await until(lambda: applied(stack, organisation), "the next one applies the rest", 30)
    await assert_once(stack, organisation, answered)

    def has_mail() -> bool:
        return {mail["X-RcptTo"] for mail in stack.mails()} == set(answered.created)

    await until(has_mail, "every invitation has arrived", 20)
