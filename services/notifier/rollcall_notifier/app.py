"""The notifier, wired by hand: outcomes → pump → rows; rows → sender → mail server."""

import asyncio
from collections.abc import Sequence
from typing import Final

from rollcall.events.topics import Topics
from rollcall.kafka.pump import Pump, PumpOptions
from rollcall.postgres.pool import Database, open_pool
from rollcall.runtime.ids import new_id
from rollcall.runtime.lifecycle import FaultPoint, drain_step
from rollcall.service import STOP_S, Service
from rollcall_notifier.budget import Budget, Limits
from rollcall_notifier.compose import Sender
from rollcall_notifier.config import NotifierSettings, parse_sender
from rollcall_notifier.consume import OutcomesWorker, PlannerContext
from rollcall_notifier.facts import Facts, ReadUpTo
from rollcall_notifier.leases import Leases
from rollcall_notifier.mail_server import ServerOptions, Session
from rollcall_notifier.prepare import LetterOptions
from rollcall_notifier.recipient import Recipients, parse_domains
from rollcall_notifier.send import MailSender, SenderOptions
from rollcall_notifier.settle import Ledger

DATABASE_CLOSE_S: Final = 3.0
POOL_SIZE: Final = 8
"""Most connections to Postgres. Four connections to the mail server settle their notices, two more
claim and renew leases; a partition of the outcomes takes one for a moment."""
STATEMENT_TIMEOUT_S: Final = 10.0
"""Longest statement: each reads or writes a few hundred rows by an index, in milliseconds."""


class Notifier(Service):
    """One process: a pump that plans mails, and a sender of them."""

    def __init__(self, settings: NotifierSettings, database: Database) -> None:
        super().__init__(
            "notifier",
            admin_host=settings.notifier_admin_host,
            admin_port=settings.notifier_admin_port,
            stall_s=settings.notifier_stall_s,
        )
        self._database = database
        self._still_s = settings.notifier_stall_s
        read_up_to = ReadUpTo()
        self._sender = make_sender(settings, database, read_up_to)
        self._pump = make_pump(settings, database, self._sender, read_up_to)

    def missing(self) -> Sequence[str]:
        """Kafka or Postgres has not been reached yet. The mail server is no reason."""
        reasons = []
        if not self._pump.has_joined:
            reasons.append("Kafka has given no assignment yet")
        if not self._sender.is_ready:
            reasons.append("Postgres has not answered yet")
        return reasons

    def not_alive(self) -> Sequence[str]:
        """Partitions where outcomes wait, and nothing explains it."""
        stalled = self._pump.stalled(self._still_s)
        return [f"partition {number} makes no progress" for number in stalled]

    async def work(self, stop: asyncio.Event) -> None:
        """Plan and send. Kafka, Postgres and the mail server may be away at any time."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump.run(stop))
            tasks.create_task(self._sender.run(stop))

    async def close(self) -> None:
        """Close the pool; pump and sender have closed what they had."""
        await drain_step("postgres", self._database.close(DATABASE_CLOSE_S), STOP_S)


async def build(settings: NotifierSettings) -> Notifier:
    """The notifier of these settings; Kafka, Postgres and the mail server may be away."""
    database = await open_pool(
        settings.database_url.get_secret_value(),
        role_hint="notifier",
        max_size=POOL_SIZE,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        application_name="rollcall-notifier",
    )
    return Notifier(settings, database)


def make_sender(
    settings: NotifierSettings, database: Database, read_up_to: ReadUpTo | None = None
) -> MailSender:
    """The sender as the settings say; without `read_up_to` it sends from the rows alone."""
    name, address = parse_sender(settings.smtp_from)
    server = ServerOptions(
        host=settings.smtp_host,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value(),
        ca_file=settings.smtp_ca_file,
    )
    secret = settings.invitation_secret.get_secret_value().encode()
    letters = LetterOptions(
        sender=Sender(address, name),
        public_url=settings.public_url,
        secret=secret,
        lifetime_s=settings.invitation_lifetime_s,
        recipients=Recipients(
            only_public=settings.environment != "development",
            allowed=parse_domains(settings.notifier_recipient_domains),
        ),
    )
    limits = Limits(
        mails=settings.notifier_recipient_mails,
        mails_a_day=settings.notifier_recipient_mails_a_day,
    )
    options = SenderOptions(
        letters=letters,
        connections=settings.notifier_connections,
        rate_per_organisation=settings.notifier_rate_per_organisation,
        retry_maximum_s=settings.notifier_retry_maximum_s,
        drain_s=settings.notifier_drain_s,
    )
    owner, topics = new_id(), Topics(settings.topic_prefix)
    return MailSender(
        database,
        Leases(
            database,
            owner,
            settings.notifier_lease_s,
            topics.requests,
            outcomes_topic=topics.outcomes,
            read_up_to=read_up_to,
        ),
        Ledger(database, owner, settings.notifier_invitation_grace_s),
        options,
        budget=Budget(database, limits, secret),
        new_session=lambda: Session(server),
        faults=FaultPoint(settings.fault),
        facts=None if read_up_to is None else Facts(settings, database, read_up_to),
    )


def make_pump(
    settings: NotifierSettings, database: Database, sender: MailSender, read_up_to: ReadUpTo
) -> Pump:
    """The pump of the outcomes topic; new rows wake the sender."""
    topic = Topics(settings.topic_prefix).outcomes
    context = PlannerContext(
        database=database,
        topic=topic,
        grace_s=settings.notifier_invitation_grace_s,
        settle_s=settings.notifier_settle_s,
        on_planned=sender.wake,
        on_position=read_up_to.raise_to,
        faults=FaultPoint(settings.fault),
    )
    options = PumpOptions(
        topic=topic, group_id=settings.group_id, drain_timeout_s=settings.notifier_drain_s
    )
    return Pump(settings, options, lambda partition: OutcomesWorker(context, partition))
