"""What each identity provider sends, end to end; and what must be true behind the door after it.

Each conversation runs against an organisation of its own, step by step, so that what a step says
of the state after it (`state_after`) is looked up in Postgres at that step. There are two replicas
of ingress, and each request goes to the other one than the request before.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rollcall_local.demo import conversation, player
from rollcall_local.demo.client import ScimClient, Tally, open_session
from tests.support.stack import Organisation, Stack, until

Check = Callable[["UnderWay"], Awaitable[None]]
GRACE_S = "4"


class UnderWay:
    """One conversation under way: its names, and what Postgres says."""

    def __init__(self, stack: Stack, organisation: Organisation, names: dict[str, Any]) -> None:
        self.stack, self.organisation, self.names = stack, organisation, names

    async def member(self, name: str) -> dict[str, Any] | None:
        rows = await self.stack.rows(
            "SELECT status, restore_status, version, document FROM directory.member "
            "WHERE organisation_id = $1::uuid AND id = $2::uuid",
            self.organisation.id,
            self.names[name],
        )
        return dict(rows[0]) if rows else None

    async def status(self, name: str) -> str | None:
        found = await self.member(name)
        return None if found is None else found["status"]

    async def group(self, name: str) -> set[str]:
        """Who is in the group, by the conversation's own names."""
        rows = await self.stack.rows(
            "SELECT member_id::text FROM directory.group_member "
            "WHERE organisation_id = $1::uuid AND group_id = $2::uuid",
            self.organisation.id,
            self.names[name],
        )
        known = {value: key for key, value in self.names.items()}
        return {known.get(row["member_id"], row["member_id"]) for row in rows}

    async def members(self) -> int:
        rows = await self.stack.rows(
            "SELECT count(*) FROM directory.member WHERE organisation_id = $1::uuid",
            self.organisation.id,
        )
        return int(rows[0]["count"])

    async def facts(self, name: str) -> list[str]:
        """Every fact that was told of a resource, in order."""
        rows = await self.stack.rows(
            "SELECT outcome ->> 'fact' AS fact FROM audit.event, jsonb_array_elements(outcomes) "
            'outcome WHERE organisation_id = $1::uuid AND resource_id = $2 ORDER BY "offset"',
            self.organisation.id,
            self.names[name],
        )
        return [row["fact"] for row in rows]


def holds(**expected: Any) -> Check:
    """Members' statuses by name, `None` for one who is gone."""

    async def check(under_way: UnderWay) -> None:
        found = {name: await under_way.status(name) for name in expected}
        assert found == expected

    return check


def in_group(group: str, *names: str) -> Check:
    async def check(under_way: UnderWay) -> None:
        assert await under_way.group(group) == set(names)

    return check


def one_member(count: int) -> Check:
    async def check(under_way: UnderWay) -> None:
        assert await under_way.members() == count

    return check


def announced(name: str, **counts: int) -> Check:
    """How often a fact was told of a resource so far; dots are written as underscores."""

    async def check(under_way: UnderWay) -> None:
        facts = await under_way.facts(name)
        assert {fact: facts.count(fact.replace("_", ".")) for fact in counts} == counts

    return check


STATE_AFTER: dict[str, list[Check]] = {
    "entra-default-04": [holds(mara="invited"), one_member(1)],
    "entra-default-05": [one_member(1)],
    "entra-default-13": [holds(mara="invited"), one_member(3)],
    "entra-default-14": [one_member(3)],
    "entra-default-21": [holds(tomas="revoked"), announced("tomas", member_revoked=1)],
    "entra-default-23": [holds(tomas="revoked"), announced("tomas", member_revoked=1)],
    "entra-default-24": [holds(tomas="invited"), announced("tomas", member_restored=1)],
    "entra-default-26": [holds(jonas=None)],
    "entra-default-35": [in_group("plat", "mara")],
    "entra-default-36": [in_group("plat", "mara")],
    "entra-default-37": [in_group("plat", "mara", "tomas")],
    "entra-default-39": [in_group("plat", "mara")],
    "entra-default-43": [in_group("plat", "mara")],
    "okta-oin-04": [holds(priya="invited")],
    "okta-oin-05": [one_member(1)],
    "okta-oin-09": [one_member(1)],
    "okta-oin-10": [holds(priya="revoked")],
    "okta-oin-12": [holds(priya="invited")],
    "okta-oin-17": [in_group("field", "priya")],
    "okta-oin-18": [in_group("field", "priya", "olek")],
    "okta-oin-19": [in_group("field")],
    "okta-oin-20": [in_group("field", "olek")],
    "jumpcloud-07": [holds(probe=None)],
    "jumpcloud-10": [holds(wanda="revoked")],
    "jumpcloud-11": [holds(wanda="invited")],
    "jumpcloud-14": [in_group("deck", "wanda")],
    "jumpcloud-15": [in_group("deck")],
    "onelogin-v2-04": [holds(ines="invited")],
    "onelogin-v2-09": [holds(rui="revoked")],
    "onelogin-v2-12": [in_group("ctrl", "rui")],
    "onelogin-v2-15": [in_group("ctrl")],
    "google-workspace-06": [holds(yuki=None)],
}
INVITED: dict[str, dict[str, int]] = {
    # Address → invitations: each person once, at the address in force when the mail left.
    "entra-default": {"m.berg@northwind.example": 1, "tomas.okafor@northwind.example": 1},
    "okta-oin": {"priya.shah@contoso-labs.example": 1, "olek.wozniak@contoso-labs.example": 1},
    "jumpcloud": {"wanda.pryce@initech.example": 1},
    "onelogin-v2": {
        "ines.moreau@globex.example": 1,
        "bo.svensson@globex.example": 1,
        "nils.aas@globex.example": 1,
    },
    "google-workspace": {},
    "bad-input": {"iris.holm@generic.example": 1},
}


async def play(stack: Stack, name: str, organisation: Organisation) -> UnderWay:
    """Play a conversation, checking what each step expects and says of the state after it."""
    other = await stack.organisation("Another")
    names = {"apiKey": organisation.key, "otherOrgApiKey": other.key}
    under_way = UnderWay(stack, organisation, names)
    tally = Tally()
    async with open_session(4) as session:
        client = ScimClient(session, organisation.base, organisation.key, stack.doors)
        for step in conversation.load(name):
            [played] = await player.play(client, [step], names=names, tally=tally)
            assert not played.differences, str(played)
            assert played.answer is not None
            assert not played.answer.is_pending, f"{step.id} was answered before it was applied"
            for check in STATE_AFTER.get(step.id, []):
                await check(under_way)
    return under_way


@pytest.mark.parametrize("name", sorted(INVITED))
async def test_a_conversation_is_as_the_client_expects_and_leaves_right_state_and_mails(
    name: str, stack: Stack
) -> None:
    stack.environment["ROLLCALL_NOTIFIER_INVITATION_GRACE_S"] = GRACE_S
    await stack.start_all()
    await stack.start("ingress")
    organisation = await stack.organisation()

    await play(stack, name, organisation)

    await until_settled(stack)
    invitations: dict[str, int] = {}
    for mail in stack.mails():
        invitations[mail["X-RcptTo"]] = invitations.get(mail["X-RcptTo"], 0) + 1
    assert invitations == INVITED[name]


async def test_a_password_is_nowhere(whole_stack: Stack) -> None:
    """Okta sends one with each create; it is dropped before the log."""
    organisation = await whole_stack.organisation()

    await play(whole_stack, "okta-oin", organisation)

    tables = await whole_stack.rows(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname IN ('directory', 'audit', 'tenancy', 'notice')"
    )
    stored = [
        row["text"]
        for table in tables
        for row in await whole_stack.rows(f"SELECT t::text AS text FROM {table['name']} t")
    ]
    logged = [process.log.read_text() for process in whole_stack.processes]
    published = await whole_stack.records(whole_stack.topics.requests)
    assert len(published) > 10
    everything = "\n".join([*stored, *logged, *published])
    assert "priya.shah@contoso-labs.example" in everything
    for password in ("Zq7!tL0p", "n3w-Secret-77", "aK4$ff91", '"password"'):
        assert password not in everything


async def test_names_and_addresses_are_in_no_log(whole_stack: Stack) -> None:
    organisation = await whole_stack.organisation()

    await play(whole_stack, "entra-default", organisation)

    await until_settled(whole_stack)
    for process in whole_stack.processes:
        text = process.log.read_text().lower()
        for private in ("northwind.example", "lindqvist", "okafor", organisation.key):
            assert private.lower() not in text, process.service


async def until_settled(stack: Stack) -> None:
    """Wait until every outcome and fact of a mail has been read and no notification is open."""

    async def is_settled() -> bool:
        [row] = await stack.rows(
            "SELECT (SELECT count(*) FROM notice.notification WHERE state = 'due') AS due, "
            "(SELECT coalesce(sum(next_offset), 0) FROM notice.progress) AS read, "
            "(SELECT coalesce(sum(jsonb_array_length(outcomes)), 0) FROM audit.event) AS told, "
            "(SELECT count(*) FROM notice.notification WHERE state = 'sent') AS sent"
        )
        return bool(row["due"] == 0 and row["read"] == row["told"] + row["sent"])

    await until(is_settled, "every notification is settled", 40)
