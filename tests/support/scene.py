"""The notifier in this process, over a real database, mail server and Kafka. No test in here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.message import EmailMessage
from typing import Any, Final

import pytest
from pydantic import SecretStr

from rollcall.directory.fold import NetChanges
from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Member
from rollcall.events.outcome import Announcement, Fact, Outcome, Sequence, outcome_id
from rollcall.postgres.directory_write import write_changes
from rollcall.postgres.pool import Database, open_pool
from rollcall.runtime import clock
from rollcall.runtime.ids import new_id
from rollcall_notifier import send
from rollcall_notifier.app import make_sender
from rollcall_notifier.config import NotifierSettings
from rollcall_notifier.consume import write_layer
from rollcall_notifier.plan import plan
from rollcall_notifier.send import MailSender
from tests.support.builders import ORGANISATION, a_user
from tests.support.databases import TestDatabase
from tests.support.stack import SECRET, Stack, until

QUICK: Final[Mapping[str, float]] = {"RETRY_INITIAL_S": 0.1, "PROBE_S": 0.1}
"""Constants of send.py, shorter than in production."""


@dataclass(slots=True)
class Scene:
    """A directory, its notices, and the mails that came of them."""

    stack: Stack
    database: TestDatabase
    settings: NotifierSettings
    numbers: int = 0
    members: dict[str, Member] = field(default_factory=dict)

    async def put(self, member: Member) -> Member:
        """Write the member's row, as the provisioner would."""
        async with self.database.connect() as connection, connection.transaction():
            await write_changes(connection, NetChanges(put_members=[(ORGANISATION, member)]))
        self.members[member.id] = member
        return member

    async def remove(self, member: Member) -> None:
        """Delete the member's row and announce it."""
        async with self.database.connect() as connection, connection.transaction():
            await write_changes(connection, NetChanges(removed_members=[(ORGANISATION, member.id)]))
        await self.announce("member.removed", member, {"from": member.status.value})

    async def invite(self, name: str, **fields: Any) -> Member:
        """A new member with an invitation; the row is written and the outcome planned."""
        member = await self.invite_row(name, **fields)
        await self.announce("member.invited", member, request_id=member.invitation_id)
        return member

    async def invite_row(self, name: str, **fields: Any) -> Member:
        """A new member's row, and nothing announced."""
        event_id = new_id()
        at = clock.now()
        resource = a_user(f"{name}@example.org", displayName=name.capitalize())
        member = Member(
            id=new_id(),
            user_name_key=f"{name}@example.org",
            external_id=None,
            status=Status.INVITED,
            restore_status=None,
            invitation_id=event_id,
            version=event_id,
            created=at,
            last_modified=at,
            resource=resource,
        )
        return await self.put(replace(member, **fields))

    async def revoke(self, member: Member) -> Member:
        """The member loses access; the row is written and the outcome planned."""
        revoked = replace(member, status=Status.REVOKED, restore_status=member.status)
        await self.put(revoked)
        await self.announce("member.revoked", revoked, {"from": member.status.value})
        return revoked

    async def restore(self, member: Member) -> Member:
        """The member returns to what it was."""
        assert member.restore_status is not None
        restored = replace(member, status=member.restore_status, restore_status=None)
        await self.put(restored)
        await self.announce("member.restored", restored, {"to": restored.status.value})
        return restored

    async def announce(
        self,
        fact: Fact,
        member: Member,
        detail: dict[str, Any] | None = None,
        *,
        request_id: str | None = None,
    ) -> Announcement:
        """Plan one outcome, as the consumer does."""
        self.numbers += 1
        request_id = request_id or new_id()
        announcement = Announcement(
            id=outcome_id(request_id, 0),
            request_id=request_id,
            sequence=Sequence(0, self.numbers, 0),
            time=clock.now(),
            outcome=Outcome(fact, ORGANISATION, member.id, detail=detail or {}),
        )
        await self.plan(announcement)
        return announcement

    async def plan(self, *announcements: Announcement) -> None:
        """Write the rows for these outcomes."""
        layers = plan(
            announcements,
            partition=0,
            grace_s=self.settings.notifier_invitation_grace_s,
            settle_s=self.settings.notifier_settle_s,
        )
        async with self.database.connect("notifier") as connection, connection.transaction():
            for layer in layers:
                await write_layer(connection, layer)

    async def rows(self) -> list[tuple[str, str, str | None]]:
        """(kind, state, reason) of every notice, in the order of their sequence."""
        found = await self.stack.rows(
            'SELECT kind, state, reason FROM notice.notification ORDER BY "offset"'
        )
        return [(row["kind"], row["state"], row["reason"]) for row in found]

    async def age(self, **by: float) -> None:
        """Move all times in the notices back, as if this time had passed."""
        await self.stack.rows(
            "UPDATE notice.notification SET due_at = due_at - $1::interval, "
            "next_attempt_at = next_attempt_at - $1::interval, "
            "leased_until = leased_until - $1::interval",
            timedelta(**by),
        )

    async def until_settled(self, timeout_s: float = 20.0) -> None:
        """Wait until no notice is due."""

        async def is_settled() -> bool:
            return all(state != "due" for _, state, _ in await self.rows())

        await until(is_settled, "all notices are settled", timeout_s)

    async def until_rows(self, *expected: tuple[str, str, str | None]) -> None:
        """Wait until the notices are exactly these."""

        async def is_so() -> bool:
            return await self.rows() == list(expected)

        await until(is_so, f"notices {expected}", 20.0)

    @contextlib.asynccontextmanager
    async def sending(
        self, constants: Mapping[str, float] | None = None, **settings: Any
    ) -> AsyncIterator[MailSender]:
        """A sender that runs for as long as the block does, with these constants of send.py."""
        given = self.settings.model_copy(update=settings)
        database = await self.open()
        stop = asyncio.Event()
        with pytest.MonkeyPatch.context() as patched:
            for name, value in {**QUICK, **(constants or {})}.items():
                patched.setattr(send, name, value)
            sender = make_sender(given, database)
            task = asyncio.create_task(sender.run(stop))
            try:
                yield sender
            finally:
                stop.set()
                await asyncio.wait_for(task, 30)
                await database.close()

    async def open(self) -> Database:
        """A pool with the notifier's own role."""
        return await open_pool(
            self.database.url("notifier"),
            role_hint="notifier",
            max_size=8,
            statement_timeout_s=10,
            application_name="test-notifier",
        )

    def recipients(self) -> list[str]:
        """To whom mails were delivered, in their order."""
        return [str(mail["X-RcptTo"]) for mail in self.stack.mails()]

    def subjects(self) -> list[str]:
        """What the mails are about, in their order."""
        return [str(mail["Subject"]) for mail in self.stack.mails()]


def settings_of(stack: Stack, database: TestDatabase) -> NotifierSettings:
    """Quick retries, no grace time, nothing settles."""
    return NotifierSettings(
        environment="test",
        kafka_bootstrap=stack.bootstrap,
        topic_prefix=stack.prefix,
        database_url=SecretStr(database.url("notifier")),
        smtp_port=stack.smtp_port,
        smtp_from="Rollcall <rollcall@rollcall.example>",
        invitation_secret=SecretStr(SECRET),
        notifier_invitation_grace_s=0,
        notifier_settle_s=0,
        notifier_retry_maximum_s=0.5,
    )


def token_in(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    links = [line for line in body.get_content().splitlines() if "/invitation/" in line]
    assert len(links) == 1
    return str(links[0]).rpartition("#")[2]
