"""The notifier, wired by hand: outcomes → pump → rows; rows → sender → mail server."""

import asyncio
from collections.abc import Sequence
from typing import Final

from rollcall.events.topics import Topics
from rollcall.http.health import health_app
from rollcall.http.server import Listener
from rollcall.kafka.pump import Pump, PumpOptions
from rollcall.kafka.watchdog import Watchdog
from rollcall.observability.logging import get_logger
from rollcall.postgres.pool import Database, open_pool
from rollcall.runtime.ids import new_id
from rollcall.runtime.lifecycle import FaultPoint, drain_step
from rollcall_notifier.budget import Budget, Limits
from rollcall_notifier.compose import Sender
from rollcall_notifier.config import NotifierSettings, parse_sender
from rollcall_notifier.consume import OutcomesWorker, PlannerTools
from rollcall_notifier.facts import Facts, Floors
from rollcall_notifier.leases import Leases
from rollcall_notifier.mail_server import ServerOptions, Session
from rollcall_notifier.prepare import LetterOptions
from rollcall_notifier.recipient import Recipients, parse_domains
from rollcall_notifier.send import MailSender, SenderOptions
from rollcall_notifier.settle import Ledger

DATABASE_CLOSE_S: Final = 3.0
STOP_S: Final = 5.0

log = get_logger()


async def serve(settings: NotifierSettings, stop: asyncio.Event) -> None:
    """Run the notifier until `stop` is set, then drain. Raises CannotListen, NoProgress.

    Kafka, Postgres and the mail server may be away, at the start or later: each is waited for.
    """
    database = await open_pool(
        settings.database_url.get_secret_value(),
        role_hint="notifier",
        max_size=settings.notifier_pool_size,
        statement_timeout_s=settings.notifier_statement_timeout_s,
        application_name="rollcall-notifier",
    )
    floors = Floors()
    sender = make_sender(settings, database, floors)
    pump = make_pump(settings, database, sender, floors)
    health = Listener(
        health_app(
            "notifier",
            not_ready=lambda: not_ready(pump, sender, stop),
            not_alive=lambda: not_alive(pump, settings.stall_s),
        ),
        settings.notifier_admin_host,
        settings.notifier_admin_port,
        drain_s=1.0,
    )
    watchdog = Watchdog(lambda: not_alive(pump, settings.stall_s), limit_s=settings.stall_s)
    try:
        await health.start()
        log.info("service.started", admin_port=health.port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watchdog.run(stop))
            tasks.create_task(pump.run(stop))
            tasks.create_task(sender.run(stop))
            tasks.create_task(_tell_draining(stop))
        watchdog.raise_if_fired()
    finally:
        await drain_step("postgres", database.close(DATABASE_CLOSE_S), STOP_S)
        await drain_step("admin port", health.drain(), STOP_S)
        log.info("service.stopped")


def make_sender(
    settings: NotifierSettings, database: Database, floors: Floors | None = None
) -> MailSender:
    """The sender as the settings say; without `floors` it sends from the rows alone."""
    name, address = parse_sender(settings.smtp_from)
    server = ServerOptions(
        host=settings.smtp_host,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value(),
        ca_file=settings.smtp_ca_file,
        timeout_s=settings.smtp_timeout_s,
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
        window_s=settings.notifier_recipient_window_s,
        mails_a_day=settings.notifier_recipient_mails_a_day,
        reserve=settings.notifier_recipient_reserve,
    )
    options = SenderOptions(
        letters=letters,
        connections=settings.notifier_connections,
        rate_per_organisation=settings.notifier_rate_per_organisation,
        burst_per_organisation=settings.notifier_burst_per_organisation,
        retry_initial_s=settings.notifier_retry_initial_s,
        retry_maximum_s=settings.notifier_retry_maximum_s,
        give_up_after_s=settings.notifier_give_up_after_s,
        probe_s=settings.notifier_probe_s,
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
            floors=floors,
        ),
        Ledger(database, owner, settings.notifier_invitation_grace_s),
        options,
        budget=Budget(database, limits, secret),
        new_session=lambda: Session(server),
        faults=FaultPoint(settings.fault),
        facts=None if floors is None else Facts(settings, database, floors),
    )


def make_pump(
    settings: NotifierSettings, database: Database, sender: MailSender, floors: Floors
) -> Pump:
    """The pump of the outcomes topic; new rows wake the sender."""
    topic = Topics(settings.topic_prefix).outcomes
    tools = PlannerTools(
        database=database,
        topic=topic,
        grace_s=settings.notifier_invitation_grace_s,
        settle_s=settings.notifier_settle_s,
        batch_records=settings.notifier_batch_records,
        on_planned=sender.wake,
        on_position=floors.raise_to,
        faults=FaultPoint(settings.fault),
    )
    options = PumpOptions(
        topic=topic, group_id=settings.group_id, drain_timeout_s=settings.notifier_drain_s
    )
    return Pump(settings, options, lambda partition: OutcomesWorker(tools, partition))


def not_ready(pump: Pump, sender: MailSender, stop: asyncio.Event) -> Sequence[str]:
    """Why this replica does not take part yet, or no more. The mail server is no reason."""
    reasons = []
    if stop.is_set():
        reasons.append("draining")
    if not pump.has_joined:
        reasons.append("Kafka has given no assignment yet")
    if not sender.is_ready:
        reasons.append("Postgres has not answered yet")
    return reasons


def not_alive(pump: Pump, stall_s: float) -> Sequence[str]:
    """Why this process should be ended: outcomes wait, and nothing explains it."""
    return [f"partition {number} makes no progress" for number in pump.stalled(stall_s)]


async def _tell_draining(stop: asyncio.Event) -> None:
    await stop.wait()
    log.info("service.draining")
