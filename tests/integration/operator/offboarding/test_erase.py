"""`erase`, broken off at any step, and the page about offboarding."""

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rollcall.control.errors import ControlError
from rollcall.control.offboarding.erase import erase
from rollcall.events.request import Request
from rollcall_operator.hints import line_of
from rollcall_operator.owner import open_deployment
from tests.integration.operator.offboarding.organisations import (
    assert_gone,
    inhabited,
    killed,
    naming,
    rollcall,
    rollcall_json,
    write_records,
)
from tests.integration.operator.pages import blocks, run_block
from tests.integration.operator.rebuilding import (
    FIX,
    POISON,
    REFUSE_TITLE,
    apply_all,
    do_rebuild,
    do_snapshot,
    do_verify,
    execute,
    fresh,
    settings_of,
)
from tests.support.builders import (
    ORGANISATION,
    a_group,
    a_member,
    a_request,
    an_id,
    create,
    patch,
    regroup,
    replacing,
)
from tests.support.deployment import Deployment


async def with_a_past(deployment: Deployment) -> Sequence[Request]:
    """Ana: in a group, in quarantine with an event behind it, in a directory that was replaced, in
    a notice, in a budget of mails. Ben: beside her in the group, with a dead letter of his own."""
    await write_records(deployment)
    await deployment.start()
    await execute(deployment, REFUSE_TITLE)
    requests = [
        create(1, "ana@example.org", displayName="Ana Tromp"),
        create(2, "ben@example.org", displayName="Ben Kok"),
        a_request("group.create", an_id(50), number=950, resource={"displayName": "Sailors"}),
        replace(regroup(a_group(50), add=(an_id(1), an_id(2))), id=an_id(951)),
        replace(patch(a_member(1), replacing("title", POISON)), id=an_id(952)),
        replace(patch(a_member(1), replacing("nickName", "ana-of-the-sea")), id=an_id(953)),
        replace(patch(a_member(2), replacing("title", POISON)), id=an_id(954)),
    ]
    await apply_all(deployment, requests)
    await execute(
        deployment,
        FIX + ";INSERT INTO notice.notification (event_id, kind, organisation_id, member_id, "
        'partition, epoch, "offset", "index", event_time, due_at, next_attempt_at) '
        f"SELECT id, 'invitation', '{ORGANISATION}', id, 0, 0, 1, 0, now(), now(), now() "
        "FROM directory.member;"
        "INSERT INTO notice.mail_taken (event_id, kind, recipient, organisation_id, member_id) "
        "SELECT event_id, kind, '\\x00ff', organisation_id, member_id FROM notice.notification",
    )
    await do_rebuild(deployment)
    return requests


async def assert_erased(deployment: Deployment) -> None:
    for text in ("ana@example.org", "Ana Tromp", "ana-of-the-sea"):
        assert await naming(deployment, text) == {}
    left = await naming(deployment, an_id(1))
    assert all(table.startswith("audit.") for table in left), left


async def test_an_erased_member_is_in_no_row_of_any_table_but_the_audit_s_ids(
    deployment: Deployment,
) -> None:
    await with_a_past(deployment)
    before = await naming(deployment, "ana")
    counted = await deployment.rows("SELECT sum(number) FROM directory.resource_count")
    assert {"directory.parked", "directory_previous.member", "directory.member"} <= set(before)
    assert "notice.mail_taken" in await naming(deployment, an_id(1))
    ben = await naming(deployment, "Ben Kok")

    done = await rollcall_json(deployment, "erase", "Zeeburg", "Ana@Example.org", "--yes")

    await assert_erased(deployment)
    assert done["member_id"] == an_id(1)
    assert done["was_there"] is True
    assert done["dead_letters"] == 1
    assert done["parked"] == 1
    assert await naming(deployment, "Ben Kok") == ben
    assert (await deployment.rows("SELECT sum(number) FROM directory.resource_count"))[0][
        "sum"
    ] == counted[0]["sum"] - 1
    [group] = await deployment.rows('SELECT version::text FROM directory."group"')
    assert group["version"] == done["event_id"]
    [letter] = await deployment.rows("SELECT resource_id::text FROM directory.dead_letter")
    assert letter["resource_id"] == an_id(2)
    facts = [each.outcome.fact for each in await deployment.outcomes(9)]
    assert facts[-2:] == ["member.removed", "member.erased"]
    assert {each["topic"].rpartition(".")[2] for each in done["log"]} == {
        *("requests", "replies", "outcomes", "dead")
    }


async def test_an_erased_member_stays_erased_after_verify_and_rebuild(
    deployment: Deployment, tmp_path: Path
) -> None:
    await with_a_past(deployment)
    taken = await do_snapshot(deployment, tmp_path)
    await rollcall_json(deployment, "erase", "Zeeburg", an_id(1), "--yes")
    assert (await do_verify(deployment)).drifts == []

    for snapshot in (None, taken.folder):
        await do_rebuild(deployment, snapshot=snapshot)
        await execute(deployment, "DROP SCHEMA directory_previous CASCADE")

        await assert_erased(deployment)
        assert (await do_verify(deployment, snapshot)).drifts == []


@pytest.mark.parametrize("fault", ["erase.after_event", "erase.after_applied"])
async def test_an_erasure_that_is_killed_is_ended_by_the_next_run(
    deployment: Deployment, fault: str
) -> None:
    await with_a_past(deployment)
    command = ("erase", ORGANISATION, an_id(1), "--yes")

    assert await killed(deployment, fault, *command)
    await rollcall_json(deployment, *command)

    await assert_erased(deployment)
    assert (await do_verify(deployment)).drifts == []


async def test_an_erasure_by_name_that_is_not_applied_yet_says_how_to_end_it(
    deployment: Deployment,
) -> None:
    """By then the name is gone, and the id is in nobody's hands."""
    await write_records(deployment)
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org")])
    await running.end()
    said: list[str] = []

    async with open_deployment(settings_of(deployment), "test") as office:
        with pytest.raises(ControlError) as error:
            await erase(
                office, "Zeeburg", "ana@example.org", dry_run=False, say=said.append, wait_s=0
            )

    assert f"`rollcall erase {ORGANISATION} {an_id(1)}`" in line_of(error.value)
    assert an_id(1) in said[0]


async def test_an_erasure_reaches_what_a_killed_verify_left(deployment: Deployment) -> None:
    await with_a_past(deployment)
    await execute(
        deployment,
        "CREATE SCHEMA directory_verify; CREATE SCHEMA audit_verify;"
        "CREATE TABLE directory_verify.member AS SELECT * FROM directory.member;",
    )

    await rollcall_json(deployment, "erase", "Zeeburg", an_id(1), "--yes")

    await assert_erased(deployment)


async def test_an_erased_member_is_not_made_again_by_what_comes_later(
    deployment: Deployment,
) -> None:
    """A PATCH that was under way is refused, a copy of the create is dropped."""
    requests = await with_a_past(deployment)
    await rollcall_json(deployment, "erase", "Zeeburg", an_id(1), "--yes")
    late = fresh(patch(a_member(1), replacing("title", "ana-of-the-sea")))

    await apply_all(deployment, [late, requests[0]])

    await assert_erased(deployment)
    [row] = await deployment.rows("SELECT status FROM audit.event WHERE id = $1", late.id)
    assert row["status"] == 404
    unknown = await rollcall(deployment, "erase", "Zeeburg", "ana@example.org", "--yes")
    assert unknown.returncode == 2
    assert "ana@example.org" not in unknown.stderr


@pytest.mark.long
async def test_the_page_about_offboarding(deployment: Deployment, tmp_path: Path) -> None:
    await inhabited(deployment)
    names = f"ORG=Zeeburg MEMBER={an_id(1)}\n"
    found = blocks("offboarding.md")
    assert len(found) == 3

    printed = [await run_block(deployment, names + block, tmp_path) for block in found]

    for name in ("organisation.jsonl", "organisation.csv"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert "would be erased" in printed[1]
    assert "is erased" in printed[1]
    assert "would be deleted" in printed[2]
    assert "is deleted" in printed[2]
    assert f"{deployment.topics.requests} keeps" in printed[2]
    await assert_gone(deployment)


# What the log keeps
