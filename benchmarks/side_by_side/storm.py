"""A burst of creates over many connections, with the provisioner frozen: the outage of a back end.

A peer has no part behind its door that could be away; it takes the same burst in full health.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.bursts import bare_sends
from benchmarks.callers import Load, burst, creator, together
from benchmarks.deployment import Deployment
from benchmarks.side_by_side.peers import Peer
from tests.support.stack import Organisation


@dataclass(frozen=True, slots=True)
class Storm:
    """A burst at one server; `caught_up_s` and `bare_s` are of Rollcall alone.

    `bare_s`: seconds of as many acknowledged sends to the same broker, in the same run.
    """

    name: str
    seconds: float
    failed: int
    caught_up_s: float | None = None
    bare_s: float | None = None


async def at_peer(peer: Peer, requests: int, connections: int) -> Storm:
    """The burst at a peer."""
    load = await burst(peer.base, peer.key, range(requests), connections, creator(_run()))
    return Storm(peer.name, load.wall_s, load.failed)


async def at_rollcall(at: Deployment, name: str, requests: int, connections: int) -> Storm:
    """The burst at Rollcall, one organisation for each ingress, while nothing is applied."""
    organisations = await _one_for_each_door(at)
    bare_s = await bare_sends(at.stack, requests, connections)
    provisioners = at.stack.running("provisioner")
    for each in provisioners:
        each.pause()
    try:
        load = await _all(organisations, requests, connections)
    finally:
        for each in provisioners:
            each.resume()
    caught_up_s = await at.caught_up(*organisations)
    return Storm(name, load.wall_s, load.failed, caught_up_s, bare_s)


async def _all(organisations: Sequence[Organisation], requests: int, connections: int) -> Load:
    shares = len(organisations)
    run = _run()
    loads = await asyncio.gather(
        *(
            burst(
                each.base,
                each.key,
                range(number, requests, shares),
                connections // shares,
                creator(run),
            )
            for number, each in enumerate(organisations)
        )
    )
    return together(loads)


async def _one_for_each_door(at: Deployment) -> list[Organisation]:
    made = []
    for door in at.stack.doors:
        organisation = await at.stack.organisation("Storm")
        made.append(replace(organisation, base=f"{door}/v2/{organisation.id}"))
    return made


def _run() -> str:
    return f"storm{time.time_ns()}"
