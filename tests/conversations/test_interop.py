"""The recorded clients against an organisation in the interop profile.

What the profile forbids must fail, with the error that says why, and nothing else may. Each step
that fails is named here with its status, its scimType and the reason; it is sent once more with
`Prefer: handling=lenient`, which must repair it, so that the steps after it find what they need.
Every other step is as in the compatible profile.
"""

from dataclasses import replace

from rollcall.control.organisations import change_organisation
from rollcall.control.tenancy_log import open_log
from rollcall_local.demo import conversation, player
from rollcall_local.demo.client import ScimClient, Tally, open_session
from rollcall_local.demo.conversation import Exchange
from rollcall_local.demo.player import Played
from tests.support.stack import Organisation, Stack

REFUSED: dict[str, tuple[int, str, str]] = {
    step: (status, scim_type, reason)
    for status, scim_type, reason, steps in (
        (400, "invalidFilter", "a filter value without quotation marks",
            "entra-default-08"),
        (400, "invalidFilter", "a comparison that goes on after brackets",
            "entra-default-09"),
        (400, "invalidSyntax", "an extension's attribute without its URN",
            "entra-default-12"),
        (400, "invalidSyntax", "an op in capitals",
            ("entra-default-13 entra-default-14 entra-default-15 entra-default-16 "
            "entra-default-17 entra-default-18 entra-default-19 entra-default-20 "
            "entra-default-21 entra-default-23 entra-default-24 entra-default-25 "
            "entra-default-28 entra-default-35 entra-default-36 entra-default-37 "
            "entra-default-39 entra-default-40 entra-default-41 entra-default-42 "
            "entra-default-43")),
        (400, "invalidSyntax", "a URN of old, or of nobody",
            ("entra-default-29 onelogin-v2-08 onelogin-v2-09 google-workspace-03 "
            "google-workspace-04 google-workspace-05")),
        (400, "invalidSyntax", "a password",
            "okta-oin-04 okta-oin-14"),
        (400, "invalidSyntax", "no path",
            "okta-oin-10 okta-oin-12 okta-oin-13 okta-oin-16 okta-oin-20"),
        (400, "invalidSyntax", "a value list beside a remove",
            "jumpcloud-15"),
        (400, "invalidSyntax", "a URN of a draft",
            "onelogin-v2-03"),
        (400, "invalidValue", "a boolean as text",
            "onelogin-v2-05"),
        (400, "invalidValue", "an object where a list belongs",
            "onelogin-v2-06"),
        (400, "invalidValue", "an address that is blank",
            "bad-input-07"),
    )
    for step in steps.split()
}  # fmt: skip


async def in_interop(stack: Stack, name: str) -> Organisation:
    """An organisation that was made and then set to the interop profile by its operator."""
    organisation = await stack.organisation(name)
    async with open_log(stack.settings) as log:
        await change_organisation(log, organisation.id, ["profile=interop"])
    return organisation


async def test_what_the_interop_profile_forbids_fails_and_nothing_else(stack: Stack) -> None:
    other = await stack.organisation("Another")
    organisations = {name: await in_interop(stack, name) for name in conversation.NAMES}
    await stack.start_all()
    surprises: list[str] = []

    async with open_session(4) as session:
        for name, organisation in organisations.items():
            client = ScimClient(session, organisation.base, organisation.key)
            names = {"apiKey": organisation.key, "otherOrgApiKey": other.key}
            for step in conversation.load(name):
                [strict] = await player.play(client, [step], names=names, tally=Tally())
                wanted = REFUSED.get(step.id)
                if wanted is None:
                    surprises += [str(strict)] if strict.differences else []
                    continue
                found = _status_and_type(strict)
                if found != wanted[:2]:
                    surprises.append(f"{step.id}: {found}, expected {wanted}")
                [lenient] = await player.play(
                    client, [_leniently(step)], names=names, tally=Tally()
                )
                surprises += [f"lenient {lenient}"] if lenient.differences else []

    assert surprises == []


def _status_and_type(played: Played) -> tuple[int, str | None]:
    assert played.answer is not None
    document = played.answer.document
    return played.answer.status, document.get("scimType") if isinstance(document, dict) else None


def _leniently(step: Exchange) -> Exchange:
    """The same step, which asks for lenient handling of this one request (RFC 7240 §4.4)."""
    return replace(step, headers={**step.headers, "Prefer": "handling=lenient"})
