"""Plays a conversation against a SCIM base and says what differs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from rollcall_local.demo import conversation
from rollcall_local.demo.client import Answer, NoAnswer, ScimClient, Tally
from rollcall_local.demo.conversation import Exchange

_SAFE = "/?&=%+:$,.-_~()*!'[]@;"


@dataclass(frozen=True, slots=True)
class Played:
    """A step and what came of it; `answer` is None where none came."""

    step: Exchange
    answer: Answer | None
    differences: tuple[str, ...]

    def __str__(self) -> str:
        verdict = "; ".join(self.differences) or "as expected"
        return f"{self.step.id}: {self.step.scenario}: {verdict}"


async def play(
    client: ScimClient,
    steps: Sequence[Exchange],
    *,
    names: dict[str, Any],
    tally: Tally,
    on_step: Callable[[Played], None] = lambda _: None,
) -> list[Played]:
    """Play all steps in order; none stops the others.

    `names` holds the values of variables: `apiKey` and `otherOrgApiKey` where the steps use them,
    and gains what the steps save.
    """
    played = []
    for step in steps:
        result = await _play_step(client, step, names, tally)
        if result.differences:
            tally.fail(str(result))
        played.append(result)
        on_step(result)
    return played


async def _play_step(
    client: ScimClient, step: Exchange, names: dict[str, Any], tally: Tally
) -> Played:
    try:
        answer = await client.send(
            step.method,
            quote(conversation.fill(step.path, names), safe=_SAFE),
            tally=tally,
            body=_body(step, names),
            headers={name: value or "" for name, value in _headers(step, names).items()},
        )
    except NoAnswer as error:
        return Played(step, None, (f"no answer: {error}",))
    found = conversation.differences(step.expect, answer.status, answer.document, names)
    names.update(conversation.saved(step, answer.document))
    return Played(step, answer, tuple(found))


def _headers(step: Exchange, names: dict[str, Any]) -> dict[str, str | None]:
    filled: dict[str, str | None] = conversation.fill(dict(step.headers), names)
    return {name: value for name, value in filled.items() if value or name == "Authorization"}


def _body(step: Exchange, names: dict[str, Any]) -> bytes | None:
    if step.raw_body is not None:
        return step.raw_body.encode()
    return None if step.body is None else orjson.dumps(conversation.fill(step.body, names))
