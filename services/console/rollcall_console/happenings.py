"""What happened to somebody, in words: a decided request → a sentence and its detail. Pure.

The sentence says what happened to a person or a group first; a code is the last thing it says. A
refused create has left nobody, so its sentence has no name.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from rollcall.postgres.console.console_reads import Happening
from rollcall_console.web.words import Words

Tone = Literal["good", "plain", "loss", "refused"]

_ORDER: Final = (
    "request.failed",
    "request.parked",
    "request.rejected",
    "member.erased",
    "member.removed",
    "member.revoked",
    "member.restored",
    "member.created",
    "member.invited",
    "member.accepted",
    "member.confirmed",
    "group.removed",
    "group.created",
    "member.changed",
    "group.changed",
    "dead.redriven",
    "dead.discarded",
)
"""Facts, the one that matters most first."""
_TONES: Final[dict[str, Tone]] = {
    "member.invited": "good",
    "member.restored": "good",
    "member.accepted": "good",
    "member.confirmed": "good",
    "member.revoked": "loss",
    "member.removed": "loss",
    "member.erased": "loss",
    "request.rejected": "refused",
    "request.failed": "refused",
    "request.parked": "refused",
}
_REASONS: Final = {400, 404, 409, 412}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a list: when, by which key, what happened, what else is to be said."""

    id: str
    at: datetime
    by: str
    kind: str
    resource_id: str | None
    is_there: bool
    tone: Tone
    sentence: str
    detail: str

    @property
    def is_member(self) -> bool:
        """Whether it is about a member, not a group."""
        return self.kind == "member"


def line_of(happening: Happening, words: Words, *, name: str | None = None) -> Line:
    """The line of a decided request; `name` is what its resource is called, where that is known."""
    happening = replace(happening, name=name or happening.name)
    fact, detail = _main_fact(happening)
    kind = (
        "group" if ".group." in happening.type or detail.get("endpoint") == "Groups" else "member"
    )
    called = happening.name or words(f"someone.{kind}")
    said = _refusal(happening, kind, detail, words) if fact == "request.rejected" else ""
    return Line(
        id=happening.id,
        at=happening.at,
        by=happening.actor,
        kind=kind,
        resource_id=happening.resource_id,
        is_there=happening.name is not None,
        tone=_TONES.get(fact, "plain"),
        sentence=_sentence(fact, happening, kind, called, words),
        detail=said or _what_changed(happening, fact, words),
    )


def _main_fact(happening: Happening) -> tuple[str, dict[str, Any]]:
    facts = {stored["fact"]: stored["data"] for stored in happening.outcomes}
    for fact in _ORDER:
        if fact in facts:
            return fact, facts[fact].get("detail", {})
    return "nothing", {}


def _sentence(fact: str, happening: Happening, kind: str, name: str, words: Words) -> str:
    verb = happening.type.removeprefix("io.rollcall.request.").split(".")[1]
    if fact == "member.invited" and verb == "create":
        return words("fact.joined", name=name)
    if fact != "request.rejected":
        key = f"fact.{fact}"
        return words(key if words.has(key) else "fact.nothing", name=name)
    is_known = happening.name is not None
    if verb == "create" or not is_known:
        verb = "create" if verb == "create" else "unknown"
        return words(f"rejected.{kind}.{verb}")
    return words("rejected.known", name=name)


def _refusal(happening: Happening, kind: str, detail: dict[str, Any], words: Words) -> str:
    status = happening.status
    attribute = detail.get("attribute")
    if status == 409 and attribute:
        key = f"reason.409.{attribute}"
        return words(key) if words.has(key) else words("reason.409.other", attribute=attribute)
    if status in _REASONS:
        return words(f"reason.{status}")
    return words("reason.other", status=status)


def _what_changed(happening: Happening, fact: str, words: Words) -> str:
    if fact not in ("member.changed", "group.changed"):
        return ""
    for stored in happening.outcomes:
        if stored["fact"] == fact and stored["data"].get("attributes"):
            return words("changed.attributes", names=", ".join(stored["data"]["attributes"]))
    return ""
