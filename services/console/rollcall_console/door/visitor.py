"""The visitor of a page: an account, its session, and what it may do where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from rollcall.postgres.console.console_accounts import Account, Role
from rollcall.postgres.console.console_sessions import Session

MAY_ACT: Final[frozenset[Role]] = frozenset({"owner", "admin"})
MAY_OWN: Final[frozenset[Role]] = frozenset({"owner"})
MAY_SEE: Final[frozenset[Role]] = frozenset({"owner", "admin", "auditor"})


class EveryRole(Mapping[str, Role]):
    """The roles of the account for an emergency: owner, wherever."""

    def __getitem__(self, organisation_id: str) -> Role:
        return "owner"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in; `digest` is of the session's cookie, `roles` by organisation."""

    account: Account
    session: Session
    digest: bytes
    roles: Mapping[str, Role]

    @property
    def is_operator(self) -> bool:
        """Whether the visitor may see how the deployment is."""
        return self.account.is_operator or self.account.is_break_glass

    def role_in(self, organisation_id: str) -> Role | None:
        """The role in an organisation; None: it does not exist for this visitor."""
        return self.roles.get(organisation_id)

    def may(self, allowed: frozenset[Role], organisation_id: str) -> bool:
        """Whether the role in the organisation is one of these."""
        return self.roles.get(organisation_id) in allowed


VISITOR: Final = web.RequestKey("visitor", Visitor)
