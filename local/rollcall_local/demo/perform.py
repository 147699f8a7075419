"""One performance of the demo on a stack that is ready: from the organisations to the tables."""

from datetime import datetime
from pathlib import Path
from typing import Final

from rollcall.control.console_access import Wanted, make_link
from rollcall.control.settings import OperatorSettings
from rollcall.postgres.pool import open_pool
from rollcall_local.demo import ending
from rollcall_local.demo.ending import ShowTable
from rollcall_local.demo.observe import open_observer
from rollcall_local.demo.organisations import DemoOrganisations, open_organisations
from rollcall_local.demo.scenario import Scenario
from rollcall_local.demo.sizes import Sizes
from rollcall_local.stack.reach import of_stack
from rollcall_local.stack.stack_file import StackFile

LINK_MINUTES: Final = 24 * 60
STATEMENT_S: Final = 10.0


async def perform(
    data: Path, stack: StackFile, sizes: Sizes, show_table: ShowTable, *, goes_on: bool
) -> bool:
    """Whether every expectation held. `goes_on`: the stack stays, so say how to use it.

    `show_table` prints columns and rows. Raises Unavailable, StackError.
    """
    settings = of_stack(data, stack)
    mailbox = Path(stack.mailbox)
    at = datetime.now().astimezone()
    async with (
        open_observer(settings, mailbox) as observer,
        open_organisations(settings, stack.scim_urls, sizes.connections, at) as organisations,
    ):
        result = await Scenario(data, sizes, observer, organisations, len(stack.scim_urls)).run()
    ending.show(result, show_table)
    if goes_on:
        console = await _open_console(settings, stack, organisations)
        ending.show_the_way(organisations.playground, mailbox, console)
    return result.has_held


async def _open_console(
    settings: OperatorSettings, stack: StackFile, organisations: DemoOrganisations
) -> str:
    """A link that signs in to the console once, as owner of the demo's organisations."""
    database = await open_pool(
        stack.database_url,
        role_hint="owner",
        max_size=1,
        statement_timeout_s=STATEMENT_S,
        application_name="rollcall demo",
    )
    shown = (organisations.playground, *organisations.used)
    try:
        link = await make_link(
            settings,
            database,
            Wanted(
                "you@localhost.localdomain",
                "You",
                tuple(each.id for each in shown),
                is_operator=True,
                minutes=LINK_MINUTES,
            ),
        )
    finally:
        await database.close()
    return link.url(settings.console_url)
