"""Conversations beside those that were recorded. No test in here."""

from importlib import resources

from rollcall_local.demo import conversation

CLIENTS = (
    "authentik",
    "dialects",
    "entra-optscim",
    "keycloak",
    "microsoft-validator",
    "okta-spec",
    "okta-wizard",
    "ping",
    "sailpoint",
)


def steps_of(name: str) -> tuple[conversation.Exchange, ...]:
    """The steps of the conversation in this folder."""
    file = resources.files("tests.conversations") / "data" / f"{name}.json"
    return conversation.parse(file.read_text(encoding="utf-8"))
