"""`rollcall lag`: what is not applied yet, by partition and organisation, and against retention."""

import asyncio
import json
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rollcall.control import lag
from rollcall.control.organisations import create_organisation
from rollcall.control.tenancy_log import open_log
from tests.integration.operator.rebuilding import (
    apply_all,
    history,
    rollcall,
    rollcall_json,
    send_all,
    settings_of,
    start,
    world_of,
)
from tests.support import logs
from tests.support.builders import ORGANISATION, OTHER_ORGANISATION, create
from tests.support.deployment import Deployment

DAY_S = 86_400


async def behind(deployment: Deployment) -> None:
    """Three requests are applied, five of one organisation and two of another are not."""
    running = await deployment.start()
    await apply_all(deployment, [create(number, f"m{number}@example.org") for number in range(3)])
    await running.end()
    await send_all(
        deployment,
        [
            *(create(number, f"m{number}@example.org") for number in range(10, 15)),
            *(
                replace(
                    create(number, f"m{number}@example.org"), organisation_id=OTHER_ORGANISATION
                )
                for number in range(20, 22)
            ),
        ],
    )


async def test_lag_names_what_waits_by_partition_and_organisation(deployment: Deployment) -> None:
    await behind(deployment)

    found = await rollcall_json(deployment, "lag")

    requests = {
        each["partition"]: each for each in found["partitions"] if each["topic"] == "requests"
    }
    assert len(requests) == 4
    assert (requests[0]["position"], requests[0]["end_offset"], requests[0]["lag"]) == (3, 8, 5)
    assert (requests[1]["position"], requests[1]["lag"]) == (0, 2)
    assert requests[2]["lag"] == 0
    assert requests[2]["oldest"] is None
    waiting = {
        each["organisation_id"]: (each["waiting"], each["exact"])
        for each in found["organisations"]
        if each["topic"] == "requests"
    }
    assert waiting == {ORGANISATION: (5, True), OTHER_ORGANISATION: (2, True)}
    assert 0 <= requests[0]["oldest_age_s"] < 60
    assert requests[0]["deleted_after_s"] == 90 * DAY_S
    assert 89 * DAY_S < requests[0]["oldest_deleted_in_s"] <= 90 * DAY_S
    kept = {
        each["topic"]: (each["retention"], each["deleted_after_s"]) for each in found["partitions"]
    }
    assert kept["requests"] == ("time", 90 * DAY_S)
    assert kept["tenancy"] == ("forever", None)
    assert "@example.org" not in str(found)


async def test_the_oldest_that_waits_is_the_one_at_the_position(deployment: Deployment) -> None:
    await behind(deployment)
    records = [
        each for each in await deployment.records(deployment.topics.requests) if each.partition == 0
    ]

    async with world_of(deployment) as world:
        measured = await lag.measure(world)

    [first] = [each for each in measured.partitions if each.topic == "requests" and each.lag == 5]
    assert first.oldest == datetime.fromtimestamp(records[3].timestamp / 1000, UTC)


async def test_the_bound_of_the_scan_is_said_and_numbers_beyond_it_are_lower_bounds(
    deployment: Deployment,
) -> None:
    await behind(deployment)

    printed = (await rollcall(deployment, "lag", "--scan", "3")).stdout

    assert "3 or more" in printed
    assert "At most 3 waiting records of each partition were read." in printed


async def test_outcomes_that_the_notifier_has_not_read_are_lag_too(deployment: Deployment) -> None:
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org")])
    await running.end()

    found = await rollcall_json(deployment, "lag")

    [outcomes] = [
        each for each in found["partitions"] if each["topic"] == "outcomes" and each["lag"]
    ]
    assert outcomes["reader"] == "notifier"
    assert outcomes["state"] == "unowned"
    assert outcomes["position"] == 0


async def test_what_retention_took_before_it_was_applied_is_said(deployment: Deployment) -> None:
    await behind(deployment)
    await logs.cut(deployment, deployment.topics.requests, 6)

    printed = (await rollcall(deployment, "lag")).stdout

    assert "requests partition 0: retention took 3 records that were not applied" in printed


async def test_an_organisation_goes_by_its_name(deployment: Deployment) -> None:
    async with open_log(settings_of(deployment)) as log:
        made, _ = await create_organisation(log, "Zeeburg", "en")
    request = replace(create(1, "ana@example.org"), organisation_id=made.id)
    await deployment.send(request, made.partition)

    printed = (await rollcall(deployment, "lag")).stdout

    assert "Zeeburg" in printed


async def test_nothing_waits_where_all_is_applied(deployment: Deployment) -> None:
    printed = (await rollcall(deployment, "lag")).stdout

    assert printed == "Everything is applied.\n"


async def test_a_deployment_without_topics_is_refused(deployment: Deployment) -> None:
    settings = deployment.settings.model_copy(update={"topic_prefix": "nobody"})
    elsewhere = replace(deployment, settings=settings)

    done = await rollcall(elsewhere, "lag")

    assert done.exit_code == 2
    assert "rollcall topics apply" in done.stderr


@pytest.mark.parametrize(
    ("config", "left_s"),
    [
        ({"retention.ms": "60000", "cleanup.policy": "delete", "retention.bytes": "-1"}, 20.0),
        ({"retention.ms": "1000", "cleanup.policy": "delete"}, 0.0),
        ({"retention.ms": "-1", "cleanup.policy": "delete"}, None),
        ({"retention.ms": str(2**63 - 1), "cleanup.policy": "delete"}, 2**63 / 1000 - 40),
        ({"retention.ms": "60000", "cleanup.policy": "compact"}, None),
        ({}, None),
    ],
)
def test_time_left_is_until_retention_may_take_the_record(
    config: dict[str, str], left_s: float | None
) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)

    assert lag.retention_of(config).left_s(now - timedelta(seconds=40), now) == left_s


async def test_watching_looks_again_until_ctrl_c(deployment: Deployment) -> None:
    """A real process; each look is one line of JSON."""
    process = await start(
        deployment,
        "lag",
        *("--watch", "--every", "0.1", "--json"),
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None

    async def requests_lag() -> int:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 40)
        return sum(
            each["lag"] for each in json.loads(line)["partitions"] if each["topic"] == "requests"
        )

    assert await requests_lag() == 0
    sent = history(1, 5)
    await send_all(deployment, sent)
    while await requests_lag() < len(sent):
        pass
    process.send_signal(signal.SIGINT)
    await process.stdout.read()

    assert await asyncio.wait_for(process.wait(), 20) == 130
