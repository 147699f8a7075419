"""scim-sanity: its whole probe in strict mode.

The suite takes only 200 for a PATCH, where RFC 7644 §3.5.2 leaves the choice between 200 and 204 to
the server, and a group of ours answers 204. Its client therefore asks for the representation in
the standard's own way, by `Prefer` (RFC 7240 §4.2). Nothing else of it is changed.
"""

import asyncio
from typing import Any

import pytest
from scim_sanity.http_client import SCIMClient
from scim_sanity.probe import runner

from tests.support.stack import Organisation, Stack

OF_OTHER_DRAFTS = {
    "Agent CRUD Lifecycle",
    "AgenticApplication CRUD Lifecycle",
    "Agent Rapid Lifecycle",
}
"""Resource types of draft-abbey-scim-agent-extension: only these may be skipped."""
FEWEST_CHECKS = 28


def ask_for_bodies(patch: pytest.MonkeyPatch) -> None:
    """Let the suite's client ask for a body where the standard lets the server choose."""
    plain = SCIMClient._build_headers

    def build(client: Any, extra: Any = None, method: str = "") -> dict[str, str]:
        headers: dict[str, str] = plain(client, extra, method)
        return {**headers, "Prefer": "return=representation"} if method == "PATCH" else headers

    patch.setattr(SCIMClient, "_build_headers", build)


def probe(organisation: Organisation) -> dict[str, Any]:
    """The suite's report on the organisation."""
    report: dict[str, Any] = runner.run_probe_api(
        organisation.base, token=organisation.key, strict=True
    )
    return report


async def test_scim_sanity_finds_nothing_wrong_in_strict_mode(
    whole_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for_bodies(monkeypatch)
    organisation = await whole_stack.organisation()

    report = await asyncio.to_thread(probe, organisation)

    results = report["results"]
    wrong = [
        f"{result['status']}: {result['phase']}: {result['name']}: {result.get('message', '')}"
        for result in results
        if result["status"] not in ("pass", "skip")
    ]
    assert not wrong, "\n\n" + "\n".join(wrong)
    assert {item["name"] for item in results if item["status"] == "skip"} == OF_OTHER_DRAFTS
    assert report["summary"]["passed"] >= FEWEST_CHECKS
