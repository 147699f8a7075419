"""What `--help` and `docs/reference/cli.md` say beside the options: examples and exit statuses.

Each command has a page here, by its words behind `rollcall`; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rollcall_operator.exits import Exit

MACHINE: Final = "A stack on this machine"
PEOPLE: Final = "Organisations and their members"
QUESTIONS: Final = "What became of it"
LOG: Final = "The directory and its log"
DEPLOYMENT: Final = "A deployment"
PANELS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("up", "down", "stop", "start", "status", "demo", "mails"), MACHINE),
    **dict.fromkeys(("org", "member", "key", "erase", "console", "issuer", "api-key"), PEOPLE),
    **dict.fromkeys(("trace", "lag", "refused", "dead", "partition"), QUESTIONS),
    **dict.fromkeys(("snapshot", "rebuild", "verify", "replay"), LOG),
    **dict.fromkeys(("doctor", "topics", "migrate", "serve", "wait", "health"), DEPLOYMENT),
}
"""Command → the panel of `rollcall --help` it is listed in."""


@dataclass(frozen=True, slots=True)
class Page:
    """Examples, as they are typed; `no`: what exit status 1 says, of a command that asks."""

    examples: tuple[str, ...]
    no: str = ""

    @property
    def statuses(self) -> list[Exit]:
        """With what the command may end."""
        return [each for each in Exit if each is not Exit.NO or self.no]


PAGES: Final[Mapping[str, Page]] = {
    "up": Page(
        ("rollcall up", "rollcall up --detach --replicas ingress=2", "rollcall up --data /srv/try"),
        "a part did not start, or has ended",
    ),
    "down": Page(("rollcall down", "rollcall down --remove"), "it did not stop in time"),
    "stop": Page(("rollcall stop provisioner notifier",), "a service did not stop in time"),
    "start": Page(("rollcall start provisioner notifier",), "a service is not ready in time"),
    "status": Page(("rollcall status", "rollcall status --json"), "not all parts are ready"),
    "demo": Page(
        ("rollcall demo", "rollcall demo --stay"), "an expectation did not hold, or the stack ended"
    ),
    "mails": Page(
        (
            "rollcall mails --last",
            "rollcall mails --recipient ana@acme.example --json",
            "rollcall mails Acme --unsent --reason recipient_budget",
        )
    ),
    "org create": Page(("rollcall org create Acme", "rollcall org create Acme --language nl")),
    "org list": Page(("rollcall org list", "rollcall org list --json")),
    "org show": Page(("rollcall org show Acme",)),
    "org set": Page(("rollcall org set Acme scim=off", "rollcall org set Acme rate=50 burst=200")),
    "org export": Page(
        (
            "rollcall org export Acme --to acme.jsonl",
            "rollcall org export Acme --format csv > acme.csv",
        )
    ),
    "org delete": Page(("rollcall org delete Acme --dry-run", "rollcall org delete Acme")),
    "member list": Page(("rollcall member list Acme", "rollcall member list Acme --state revoked")),
    "member show": Page(("rollcall member show Acme ana@acme.example",)),
    "member find": Page(
        ("rollcall member find ana@acme.example", "rollcall member find ana@acme.example Acme")
    ),
    "key create": Page(
        (
            "rollcall key create Acme --name Entra --expires-in-days 365",
            "rollcall key create Acme --expires 2027-01-31",
            "rollcall key create Acme --network 192.0.2.0/24 --scope users:write",
        )
    ),
    "key list": Page(("rollcall key list Acme",)),
    "key limit": Page(
        (
            "rollcall key limit Acme PUBLIC_ID --network 192.0.2.0/24 --network 2001:db8::/32",
            "rollcall key limit Acme PUBLIC_ID",
        )
    ),
    "key revoke": Page(("rollcall key revoke Acme PUBLIC_ID",)),
    "erase": Page(
        (
            "rollcall erase Acme ana@acme.example --dry-run",
            "rollcall erase Acme ana@acme.example",
        )
    ),
    "console link": Page(
        (
            "rollcall console link ana@acme.example Acme",
            "rollcall console link op@example.org --operator --minutes 60",
        )
    ),
    "console break-glass": Page(("rollcall console break-glass emergency@example.org",)),
    "issuer add": Page(
        (
            (
                "rollcall issuer add Okta https://acme.okta.com --client-id 0oa1 "
                "--secret-file okta.secret --role rollcall-admins=owner@Acme"
            ),
            (
                "rollcall issuer add Entra "
                "'https://login.microsoftonline.com/{tenantid}/v2.0' --client-id ID "
                "--secret-file - --claim roles --role Admin=owner@Acme "
                "--tenant 0af8ba2c-6c1c-4f1b-8a6f-2f8f5f1d2c11"
            ),
        )
    ),
    "issuer list": Page(("rollcall issuer list --json",)),
    "issuer secret": Page(("rollcall issuer secret Okta --secret-file okta.secret",)),
    "issuer remove": Page(("rollcall issuer remove Okta",)),
    "api-key create": Page(
        (
            "rollcall api-key create --scope organisations:write --scope keys:write --name Shop",
            "rollcall api-key create Acme --scope members:read --expires-in-days 90",
        )
    ),
    "api-key list": Page(("rollcall api-key list --json",)),
    "api-key revoke": Page(("rollcall api-key revoke PUBLIC_ID",)),
    "console reseal": Page(("rollcall console reseal",)),
    "refused list": Page(
        ("rollcall refused list", "rollcall refused list Acme --since 2027-01-31")
    ),
    "refused show": Page(("rollcall refused show ID",)),
    "dead list": Page(("rollcall dead list", "rollcall dead list Acme --error 23514")),
    "dead show": Page(("rollcall dead show rollcall.requests/3/1842",)),
    "dead redrive": Page(
        (
            "rollcall dead redrive rollcall.requests/3/1842",
            "rollcall dead redrive Acme --dry-run",
            "rollcall dead redrive --all --error 23514 --yes",
        ),
        "a letter stays as it was: the result says why",
    ),
    "dead discard": Page(
        ("rollcall dead discard rollcall.requests/3/1842",),
        "a letter stays as it was: the result says why",
    ),
    "dead release": Page(
        ("rollcall dead release Acme", "rollcall dead release --all --yes"),
        "something waits still: the result says why",
    ),
    "partition list": Page(("rollcall partition list", "rollcall partition list --topic outcomes")),
    "partition show": Page(("rollcall partition show 3",)),
    "partition resume": Page(
        ("rollcall partition resume 3", "rollcall partition resume 3 --new-log --at 1843")
    ),
    "lag": Page(("rollcall lag", "rollcall lag --watch", "rollcall lag --all --json")),
    "trace": Page(
        (
            "rollcall trace EVENT_ID",
            "rollcall trace ana@acme.example",
            "rollcall trace Acme MEMBER_ID --last 5",
        ),
        "there is nothing of it, and all that is kept was read",
    ),
    "snapshot": Page(("rollcall snapshot --to snapshots --keep 14",)),
    "rebuild": Page(
        (
            "rollcall rebuild --dry-run",
            "rollcall rebuild --from snapshots",
        )
    ),
    "verify": Page(
        ("rollcall verify", "rollcall verify --from snapshots --json"),
        "drift: a row differs from the log",
    ),
    "replay": Page(
        (
            "rollcall replay --topic outcomes --from 2027-01-31 --into notifier",
            "rollcall replay --topic outcomes --from 0 --until 500 --into TOPIC",
            "rollcall replay Acme --topic requests --as-of 2027-01-31 --to acme.jsonl",
        )
    ),
    "topics apply": Page(
        ("rollcall topics apply --replication 3", "rollcall topics apply --principals")
    ),
    "topics check": Page(
        ("rollcall topics check --replication 3",), "something differs that can be changed"
    ),
    "doctor": Page(
        ("rollcall doctor --replication 3", "rollcall doctor --service notifier"),
        "something is wrong",
    ),
    "migrate": Page(
        ("rollcall migrate --check", "rollcall migrate"), "with `--check`: migrations are missing"
    ),
    "serve": Page(
        ("rollcall serve ingress", "rollcall serve ingress --print-config"),
        "the service ended with it: any status is the service's own",
    ),
    "wait": Page(
        ("rollcall wait kafka postgres schema --timeout 300",), "it was not there in time"
    ),
    "health": Page(
        ("rollcall health --url http://127.0.0.1:8081/readyz",), "the probe did not answer 200"
    ),
}


def epilog(words: str) -> str:
    """The text below the options of a command; empty for a group of commands."""
    page = PAGES.get(words)
    if page is None:
        return ""
    lines = ["Examples:", *(f"  {each}" for each in page.examples)]
    no = f"Exit status 1: {page.no}. " if page.no else ""
    return "\n".join(lines) + f"\n\n{no}All statuses: docs/reference/cli.md."
