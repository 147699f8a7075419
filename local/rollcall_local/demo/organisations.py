"""The organisations of one run of the demo: new each time, so that a stack can be used again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from rollcall.control import organisations
from rollcall.control.settings import OperatorSettings
from rollcall.control.tenancy_log import TenancyLog, open_log
from rollcall.tenancy.organisation import Organisation
from rollcall_local.demo.client import ScimClient, open_session


@dataclass(frozen=True, slots=True)
class DemoOrganisation:
    """An organisation of the demo, and a client with its key."""

    organisation: Organisation
    base: str
    key: str
    client: ScimClient

    @property
    def id(self) -> str:
        """The organisation's id."""
        return self.organisation.id


@dataclass(frozen=True, slots=True)
class DemoOrganisations:
    """Two for the recorded conversations, one for the crowd, an empty one for the reader."""

    entra: DemoOrganisation
    okta: DemoOrganisation
    crowd: DemoOrganisation
    playground: DemoOrganisation

    @property
    def used(self) -> tuple[DemoOrganisation, ...]:
        """The ones that the demo writes to."""
        return (self.entra, self.okta, self.crowd)


@asynccontextmanager
async def open_organisations(
    settings: OperatorSettings, doors: Sequence[str], connections: int, at: datetime
) -> AsyncIterator[DemoOrganisations]:
    """Create the organisations, named after the local time `at`. Raises Unavailable.

    Their clients send to the roots in `doors` in turn.
    """
    stamp = at.strftime("%d %b %H:%M:%S")
    names = ("Entra", "Okta", "Joiners", "Playground")
    async with open_session(connections) as session:
        async with open_log(settings) as log:
            made = [
                await _create(log, settings, f"{name} demo, {stamp}", session, doors)
                for name in names
            ]
        yield DemoOrganisations(*made)


async def _create(
    log: TenancyLog,
    settings: OperatorSettings,
    name: str,
    session: aiohttp.ClientSession,
    doors: Sequence[str],
) -> DemoOrganisation:
    organisation, key = await organisations.create_organisation(log, name)
    base = settings.scim_base_url(organisation.id)
    client = ScimClient(session, base, key.text, doors)
    return DemoOrganisation(organisation, base, key.text, client)
