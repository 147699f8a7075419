"""scim2-tester: what it discovers, creates, changes and deletes through scim2-client, all of it.

It builds its models from our own `/Schemas`, so it also shows that these are what is served.
"""

import asyncio
from collections import Counter

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import CheckResult, Status, check_server

from tests.support.stack import Organisation, Stack

GOOD = (Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE)
NOT_OFFERED = "search_with_attributes"
"""A search over all resource types at once is answered 501, and the suite leaves it at that."""
FEWEST_CHECKS = 120
"""Below, the suite has skipped something: it stops early where discovery cannot be read."""


def check(organisation: Organisation) -> list[CheckResult]:
    """Every check of the suite against the organisation."""
    headers = {"Authorization": f"Bearer {organisation.key}"}
    with httpx2.Client(base_url=organisation.base, headers=headers, timeout=20) as client:
        return check_server(SyncSCIMClient(client))


def is_good(result: CheckResult) -> bool:
    """Whether the check passed, or was left out because of what the service does not offer."""
    if result.status is Status.SKIPPED:
        return result.title == NOT_OFFERED
    return result.status in GOOD


def explain(result: CheckResult) -> str:
    """One result as a paragraph of a failed test."""
    subject = f"{result.title} of {result.resource_type or 'the service'}"
    return f"{result.status.name}: {subject}\n  {result.reason}\n  {result.data}"


async def test_scim2_tester_finds_nothing_wrong(whole_stack: Stack) -> None:
    organisation = await whole_stack.organisation()

    results = await asyncio.to_thread(check, organisation)

    wrong = [explain(result) for result in results if not is_good(result)]
    assert not wrong, "\n\n" + "\n\n".join(wrong)
    assert len(results) >= FEWEST_CHECKS, Counter(result.title for result in results)
