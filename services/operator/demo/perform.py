"""One performance of the demo on a stack that is ready: from the organisations to the tables."""

from datetime import datetime
from pathlib import Path

from services.operator.demo import ending
from services.operator.demo.observe import open_observer
from services.operator.demo.places import open_places
from services.operator.demo.scenario import Scenario
from services.operator.demo.sizes import Sizes
from services.operator.deployment import of_stack
from services.operator.stack.stack_file import StackFile


async def perform(data: Path, stack: StackFile, sizes: Sizes, *, goes_on: bool) -> bool:
    """Whether every expectation held. `goes_on`: the stack stays, so say how to use it.

    Raises Unavailable, CommandError.
    """
    settings = of_stack(data, stack)
    mailbox = Path(stack.mailbox)
    at = datetime.now().astimezone()
    async with (
        open_observer(settings, mailbox) as observer,
        open_places(settings, sizes.connections, at) as places,
    ):
        result = await Scenario(data, sizes, observer, places).run()
    ending.show(result)
    if goes_on:
        ending.show_the_way(places.playground, mailbox)
    return result.has_held
