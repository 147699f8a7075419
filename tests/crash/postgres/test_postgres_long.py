"""Postgres away for half a minute, for five; slow, full, taken for a minute; failed over thrice.

The same promises as in `test_postgres.py`, played by the same `play`. The five minutes can be made
any time, for example the hour that the outage table promises:

    ROLLCALL_TEST_OUTAGE_S=3600 make test-long ARGS='-k without-for-long -s'
"""

import os
from collections.abc import Awaitable, Callable

import pytest

from tests.crash.postgres.playing import play
from tests.support.postgres_faults import MortalPostgres
from tests.support.stack import Stack

LONG_S = float(os.environ.get("ROLLCALL_TEST_OUTAGE_S", "300"))

pytestmark = [pytest.mark.long, pytest.mark.timeout(600 + LONG_S)]
Step = Callable[[MortalPostgres], Awaitable[None]]

KILLED: tuple[Step, Step] = MortalPostgres.kill, MortalPostgres.start
FROZEN: tuple[Step, Step] = MortalPostgres.freeze, MortalPostgres.thaw
SLOW: tuple[Step, Step] = MortalPostgres.slow, MortalPostgres.fast
FULL: tuple[Step, Step] = MortalPostgres.full, MortalPostgres.space
TAKEN: tuple[Step, Step] = MortalPostgres.exhaust, MortalPostgres.give_back


@pytest.mark.parametrize(
    ("steps", "seconds", "statuses"),
    [
        pytest.param(KILLED, 30.0, {503}, id="killed"),
        pytest.param(KILLED, LONG_S, {503}, id="without-for-long"),
        pytest.param(FROZEN, 30.0, {503}, id="frozen"),
        pytest.param(FROZEN, 60.0, {503}, id="frozen-longer-than-a-statement"),
        pytest.param(SLOW, 60.0, {200}, id="slow"),
        pytest.param(FULL, 30.0, {200}, id="full"),
        pytest.param(TAKEN, 60.0, {503}, id="no-connection"),
    ],
)
async def test_a_long_outage_of_postgres_loses_nothing(
    steps: tuple[Step, Step],
    seconds: float,
    statuses: set[int],
    mortal_stack: Stack,
    mortal: MortalPostgres,
) -> None:
    begin, end = steps

    played = await play(
        mortal_stack,
        mortal,
        lambda: begin(mortal),
        lambda: end(mortal),
        seconds,
        pause_s=max(0.3, seconds / 3600),  # an hour is about waiting, not about a large queue
    )

    print(f"\n{begin.__name__} for {seconds:g} s: {played}")
    assert played.reads.statuses.keys() == statuses


async def test_three_failovers_in_a_row_lose_nothing(
    mortal_stack: Stack,
    mortal: MortalPostgres,
) -> None:
    async def fail_over_thrice() -> None:
        for _ in range(3):
            await mortal.fail_over()
            await mortal.copy()

    played = await play(
        mortal_stack, mortal, mortal.copy, fail_over_thrice, 5, copies_of_mails=True
    )

    print(f"\nfailed over three times: {played}")
