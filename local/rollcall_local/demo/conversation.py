"""Conversations of identity providers: steps in order, and what each needs back. Pure.

A file below `conversations/` is a list of steps. `${name}` in a path, header or body stands for a
value that an earlier step saved. `expect` holds `status` (`also_ok`: other statuses that end the
comparison), `must_contain` (dotted path → value; `x.length` counts a list), `must_not_contain`
(dotted paths) and `state_after`, prose for tests that look behind the door.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

Json = dict[str, Any]
NAMES: Final = (
    "entra-default",
    "okta-oin",
    "jumpcloud",
    "onelogin-v2",
    "google-workspace",
    "bad-input",
)
MISSING: Final = object()
"""What `dig` returns where a path leads nowhere; None is a value."""
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Expectation:
    """The answer that a step expects."""

    status: int
    also_ok: tuple[int, ...] = ()
    must_contain: Mapping[str, Any] = field(default_factory=dict)
    must_not_contain: tuple[str, ...] = ()
    state_after: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of a conversation. A header whose value is None is not sent.

    `raw_body` is sent as it is; otherwise `body` is sent as JSON, unless it is None. `save`
    maps a variable to the dotted path of its value in the answer.
    """

    id: str
    scenario: str
    method: str
    path: str
    expect: Expectation
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: Json | None = None
    raw_body: str | None = None
    save: Mapping[str, str] = field(default_factory=dict)


def load(name: str) -> tuple[Exchange, ...]:
    """The steps of the conversation `name`, one of NAMES. Raises FileNotFoundError."""
    folder = resources.files("rollcall_local.demo") / "conversations"
    return parse((folder / f"{name}.json").read_text(encoding="utf-8"))


def parse(text: str) -> tuple[Exchange, ...]:
    """The steps in the text of a conversation's file."""
    return tuple(_step(step) for step in json.loads(text))


def dig(document: Any, path: str) -> Any:
    """The value at a dotted path, or MISSING.

    The longest key that fits wins, because URNs contain dots themselves.
    """
    if path == "":
        return document
    if isinstance(document, list):
        return _dig_list(document, path)
    if isinstance(document, dict):
        parts = path.split(".")
        for cut in range(len(parts), 0, -1):
            key = ".".join(parts[:cut])
            if key in document:
                return dig(document[key], ".".join(parts[cut:]))
        if path.endswith("length") and not document:
            return 0
    return MISSING


def fill(value: Any, names: Mapping[str, Any]) -> Any:
    """`value` with every `${name}` replaced; unknown names stay as they are."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: str(names.get(found[1], found[0])), value)
    if isinstance(value, list):
        return [fill(item, names) for item in value]
    if isinstance(value, dict):
        return {fill(key, names): fill(item, names) for key, item in value.items()}
    return value


def differences(
    expect: Expectation, status: int, document: Any, names: Mapping[str, Any]
) -> list[str]:
    """What in an answer is not as expected, a sentence each; empty where all is."""
    if status not in (expect.status, *expect.also_ok):
        return [f"status {status}, expected {expect.status}"]
    if status != expect.status:
        return []
    found = [] if document is None and status == 204 else _contents(expect, document, names)
    found += [
        f"{path} is present"
        for path in expect.must_not_contain
        if not _is_absent(dig(document, path))
    ]
    return found


def _contents(expect: Expectation, document: Any, names: Mapping[str, Any]) -> list[str]:
    found = []
    for path, wanted in fill(dict(expect.must_contain), names).items():
        value = dig(document, path)
        if value is MISSING and wanted in ([], 0):
            value = wanted  # an empty list may be left out (RFC 7643 §2.5)
        if path == "schemas.0" and isinstance(document, dict):
            schemas = document.get("schemas", [])  # their order means nothing
            value = wanted if wanted in schemas else schemas
        if value is MISSING:
            found.append(f"{path} is absent, expected {json.dumps(wanted)}")
        elif value != wanted:
            found.append(f"{path} is {json.dumps(value)}, expected {json.dumps(wanted)}")
    return found


def _is_absent(value: Any) -> bool:
    return value is MISSING or value is None or value == []


def _dig_list(document: list[Any], path: str) -> Any:
    if path == "length":
        return len(document)
    head, _, rest = path.partition(".")
    is_inside = head.isascii() and head.isdigit() and int(head) < len(document)
    return dig(document[int(head)], rest) if is_inside else MISSING


def _step(step: Json) -> Exchange:
    expect = step["expect"]
    return Exchange(
        id=step["id"],
        scenario=step["scenario"],
        method=step["method"],
        path=step["path"],
        headers=step.get("headers") or {},
        body=step.get("body"),
        raw_body=step.get("raw_body"),
        save=step.get("save") or {},
        expect=Expectation(
            status=expect["status"],
            also_ok=tuple(expect.get("also_ok", ())),
            must_contain=expect.get("must_contain") or {},
            must_not_contain=tuple(expect.get("must_not_contain") or ()),
            state_after=expect.get("state_after", ""),
        ),
    )


def saved(step: Exchange, document: Any) -> Iterator[tuple[str, Any]]:
    """The variables that this answer gives a value to."""
    for variable, path in step.save.items():
        value = dig(document, path)
        if value is not MISSING:
            yield variable, value
