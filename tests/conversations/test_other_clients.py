"""Clients beside those that were recorded: what their documentation and issue trackers show.

The files below `data/` have the format of the recorded conversations and are played by the same
player, each on an organisation of its own; one stack serves all of them.
"""

from rollcall_local.demo import player
from rollcall_local.demo.client import ScimClient, Tally, open_session
from tests.conversations.clients import CLIENTS, steps_of
from tests.support.stack import Stack


async def test_clients_that_were_never_recorded_get_what_they_need(whole_stack: Stack) -> None:
    surprises: list[str] = []

    async with open_session(4) as session:
        for name in CLIENTS:
            organisation = await whole_stack.organisation(name)
            client = ScimClient(session, organisation.base, organisation.key)
            played = await player.play(
                client, steps_of(name), names={"apiKey": organisation.key}, tally=Tally()
            )
            surprises += [str(each) for each in played if each.differences]
            surprises += [
                f"{each.step.id} was answered before it was applied"
                for each in played
                if each.answer is not None and each.answer.is_pending
            ]

    assert not surprises, "\n".join(surprises)
