"""The console, wired by hand: Kafka's tenancy topic and Postgres → pages."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from aiohttp import web

from rollcall.http.server import Listener
from rollcall.observability.logging import get_logger
from rollcall.postgres.console import console_issuers as issuers
from rollcall.postgres.console import console_reads as reads
from rollcall.postgres.console import console_sessions as sessions
from rollcall.postgres.console import console_setup as setup_links
from rollcall.postgres.console.console_sessions import Limits
from rollcall.postgres.pool import Database, open_pool
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.lifecycle import drain_step, is_set_within
from rollcall.runtime.sealed import Sealer
from rollcall.service import STOP_S, Service
from rollcall_console import home
from rollcall_console.acts import Acts
from rollcall_console.api.document import document
from rollcall_console.api.edge import Api
from rollcall_console.api.routes import operations
from rollcall_console.behind import LogEnds
from rollcall_console.config import ConsoleSettings
from rollcall_console.door.account import AccountViews
from rollcall_console.door.again import AgainViews
from rollcall_console.door.oidc.flow import OidcSignIns
from rollcall_console.door.oidc.provider import Providers
from rollcall_console.door.oidc.views import OidcViews
from rollcall_console.door.passwords import Passwords
from rollcall_console.door.sign_ins import SignIns
from rollcall_console.door.views import DoorViews
from rollcall_console.guides.views import GuideViews
from rollcall_console.home import HomeViews
from rollcall_console.operations.views import OperationsViews
from rollcall_console.operations.watch import Watch
from rollcall_console.people.group_views import GroupViews
from rollcall_console.people.views import MemberViews
from rollcall_console.refused.views import RefusedViews
from rollcall_console.scim.views import ScimViews
from rollcall_console.settings.api_keys import ApiKeyViews
from rollcall_console.settings.views import SettingsViews
from rollcall_console.setup.links import LinkViews
from rollcall_console.setup.views import SetupViews
from rollcall_console.tenants import Tenants
from rollcall_console.web import headers, pages, rights, static
from rollcall_console.web.guard import Guard

STATEMENT_TIMEOUT_S: Final = 5.0
"""Longest statement of a page; each takes milliseconds."""
DATABASE_CLOSE_S: Final = 3.0
KEEP_UP_S: Final = 30.0
"""How often contacts are noted; they are kept to a minute."""
SWEEP_S: Final = 3600.0
CONTACT_DAYS: Final = 14

log = get_logger()


class Console(Service):
    """One process: the pages, and a task that notes when keys are used."""

    def __init__(self, settings: ConsoleSettings, database: Database) -> None:
        super().__init__(
            "console",
            admin_host=settings.console_admin_host,
            admin_port=settings.console_admin_port,
        )
        self._settings = settings
        self._database = database
        self._tenants = Tenants(settings)
        self._log_ends = LogEnds(settings, database)
        self._providers = Providers()
        self._watch = Watch(settings, database)
        self._has_postgres = False
        self._listener = Listener(
            self.pages_app(),
            settings.console_host,
            settings.console_port,
            drain_s=settings.console_drain_s,
        )

    def pages_app(self) -> web.Application:
        """The routes and what stands before them."""
        settings, database, tenants = self._settings, self._database, self._tenants
        files = static.load()
        made = pages.make(files)
        sealer = Sealer.of(settings.console_secret.get_secret_value())
        limits = Limits(settings.console_idle_s, settings.console_absolute_s)
        is_encrypted = settings.is_encrypted
        passwords = Passwords()
        sign_ins = SignIns(
            database,
            passwords,
            sealer,
            limits,
            is_encrypted=is_encrypted,
            are_local_allowed=settings.console_local_accounts,
        )
        acts = Acts(settings, database)
        oidc = OidcSignIns(database, sign_ins, sealer, self._providers, settings.root_url)
        guard = Guard(made, sign_ins, settings.root_url, settings.console_fresh_s)
        app = web.Application(middlewares=[guard.__call__])
        headers.setup(app, is_encrypted=is_encrypted)
        static.setup(app, files)
        DoorViews(made, sign_ins, oidc, database, is_encrypted).setup(app)
        OidcViews(made, oidc, sign_ins, is_encrypted).setup(app)
        AgainViews(made, sign_ins, oidc).setup(app)
        AccountViews(made, database, sign_ins, passwords, sealer, settings.console_fresh_s).setup(
            app
        )
        HomeViews(made, tenants).setup(app)
        ScimViews(settings, made, database, tenants, acts, self._log_ends).setup(app)
        MemberViews(made, database, tenants, acts).setup(app)
        GroupViews(made, database, tenants).setup(app)
        RefusedViews(made, database, tenants, acts).setup(app)
        SettingsViews(settings, made, database, tenants, acts).setup(app)
        GuideViews(settings, made, tenants).setup(app)
        LinkViews(settings, made, database, tenants, acts).setup(app)
        SetupViews(settings, made, database, tenants, acts).setup(app)
        ApiKeyViews(made, database, tenants, acts, settings.root_url).setup(app)
        OperationsViews(made, self._watch).setup(app)
        api = Api(database, tenants, operations(settings, database, tenants))
        api.setup(app, orjson.dumps(document(api.operations)))
        rights.check(app, api.names())
        app.router.add_route("*", "/{anything:.*}", home.not_found)
        return app

    @property
    def port(self) -> int:
        """The port of the pages."""
        return self._listener.port

    def facts(self) -> Mapping[str, Any]:
        """The port of the pages."""
        return {"port": self.port}

    def missing(self) -> Sequence[str]:
        """Kafka or Postgres has not been reached yet."""
        reasons = []
        if not self._tenants.is_loaded:
            reasons.append("organisations and keys are not loaded (Kafka)")
        if not self._has_postgres:
            reasons.append("Postgres has not answered yet")
        return reasons

    async def open(self) -> None:
        """Listen, and read organisations and keys in the background. Raises CannotListen."""
        self._tenants.start()
        await self._listener.start()

    async def work(self, stop: asyncio.Event) -> None:
        """Note contacts, remove what is over and watch the deployment, until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_up(stop), name="keep up")
            group.create_task(self._watch.run(stop), name="watch")

    async def _keep_up(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        swept_s = loop.time() - SWEEP_S
        while True:
            wait_s = KEEP_UP_S
            try:
                async with self._database.connection() as connection:
                    await reads.note_contacts(connection)
                    if loop.time() - swept_s >= SWEEP_S:
                        await sessions.sweep(
                            connection, self._settings.console_idle_s, CONTACT_DAYS
                        )
                        await setup_links.sweep(connection)
                        await issuers.sweep(connection)
                        swept_s = loop.time()
                self._has_postgres = True
            except Unavailable as error:
                log.warning("postgres.unavailable", what=error.what)
                wait_s = error.retry_after_s
            if await is_set_within(stop, wait_s):
                return

    async def close(self) -> None:
        """Finish what is in flight, then close."""
        await self._listener.drain()
        await drain_step("tenancy", self._tenants.stop(), STOP_S)
        await drain_step("issuers", self._providers.close(), STOP_S)
        await drain_step("log ends", self._log_ends.close(), STOP_S)
        await drain_step("postgres", self._database.close(DATABASE_CLOSE_S), STOP_S)


async def build(settings: ConsoleSettings) -> Console:
    """The console of these settings; Kafka and Postgres may be away."""
    database = await open_pool(
        settings.database_url.get_secret_value(),
        role_hint="console",
        max_size=settings.console_pool_size,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        application_name="rollcall-console",
    )
    return Console(settings, database)
