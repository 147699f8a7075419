"""One performance of the demo on a stack that is ready: from the organisations to the tables."""

from datetime import datetime
from pathlib import Path

from rollcall_local.demo import ending
from rollcall_local.demo.ending import ShowTable
from rollcall_local.demo.observe import open_observer
from rollcall_local.demo.organisations import open_organisations
from rollcall_local.demo.scenario import Scenario
from rollcall_local.demo.sizes import Sizes
from rollcall_local.stack.reach import of_stack
from rollcall_local.stack.stack_file import StackFile


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
        ending.show_the_way(organisations.playground, mailbox)
    return result.has_held
