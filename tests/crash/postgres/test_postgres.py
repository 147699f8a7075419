"""Postgres dies, freezes, is slow, full, taken, or loses its last commits: writes go on, reads 503.

Architecture §8, "Postgres, an hour" and "Postgres fails over, last commits lost". `make test` plays
some seconds of each, `make test-long` the rest (tests/crash/postgres/test_postgres_long.py).
"""

import pytest

from tests.crash.postgres.playing import READ_WITHIN_S, play
from tests.support.postgres_faults import (
    MortalPostgres,
)
from tests.support.stack import Stack


@pytest.mark.timeout(180)
async def test_postgres_killed_costs_reads_and_no_write(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    played = await play(mortal_stack, mortal, mortal.kill, mortal.start, 5)

    print(f"\nkilled for 5 s: {played}")
    assert played.reads.statuses.keys() == {503}
    assert played.reads.slowest_s < READ_WITHIN_S


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_postgres_frozen_costs_reads_and_no_write(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    """It accepts connections and answers nothing, which only our own time-outs end."""
    played = await play(mortal_stack, mortal, mortal.freeze, mortal.thaw, 10)

    print(f"\nfrozen for 10 s: {played}")
    assert played.reads.statuses.keys() == {503}
    assert played.reads.slowest_s < READ_WITHIN_S


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_slow_commits_cost_waiting_and_nothing_else(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    """Each commit takes 500 ms; batches grow, and reads do not notice."""
    played = await play(mortal_stack, mortal, mortal.slow, mortal.fast, 8)

    print(f"\nslow for 8 s: {played}")
    assert played.reads.statuses.keys() == {200}


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_full_disk_is_waited_for(mortal_stack: Stack, mortal: MortalPostgres) -> None:
    """Nothing can be written, everything can be read."""
    played = await play(mortal_stack, mortal, mortal.full, mortal.space, 5)

    print(f"\nfull for 5 s: {played}")
    assert played.reads.statuses.keys() == {200}


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_without_a_free_connection_reads_are_503_and_writes_go_on(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    played = await play(mortal_stack, mortal, mortal.exhaust, mortal.give_back, 5)

    print(f"\nno connection for 5 s: {played}")
    assert played.reads.statuses.keys() == {503}
    assert played.reads.slowest_s < READ_WITHIN_S


@pytest.mark.timeout(180)
async def test_commits_lost_in_a_failover_are_applied_again_from_the_log(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    """Progress goes back together with what it says was applied, so nothing drifts.

    A mail that had left is forgotten with its row and leaves again, as the same mail.
    """
    applied_before = 0
    lost = 0

    async def position() -> int:
        query = "SELECT coalesce(sum(next_offset), 0)::bigint AS n FROM directory.progress"
        return int((await mortal.rows(query))[0]["n"])

    async def copy() -> None:
        nonlocal applied_before
        await mortal.copy()
        applied_before = await position()

    async def fail_over() -> None:
        nonlocal lost
        before = await position()
        await mortal.fail_over()
        lost = before - applied_before

    played = await play(mortal_stack, mortal, copy, fail_over, 3, copies_of_mails=True)

    print(f"\nfailed over, about {lost} applied events lost: {played}")
    assert lost > 50, "nothing was lost: the test proves nothing"
    headers = [
        each
        for each in await mortal_stack.headers(mortal_stack.topics.outcomes)
        if "ce_sequence" in each  # not that a mail left
    ]
    by_place: dict[tuple[str, str], set[str]] = {}
    for each in headers:
        place = each["ce_causationid"], each["ce_sequence"]
        by_place.setdefault(place, set()).add(each["ce_id"])
    assert all(len(ids) == 1 for ids in by_place.values()), "announced under two ids"
    assert len(headers) > len(by_place), "nothing was announced twice: nothing was lost"
