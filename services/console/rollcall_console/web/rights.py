"""Which route needs which right: one table for all, and nothing is served that is not in it.

`guard.py` asks it before every view; a view's own checks come on top. A route that is missing here
keeps the console from starting (`check`), so that no route is open by an oversight.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from aiohttp import web


class Need(Enum):
    """What a visitor must be."""

    ANYBODY = "anybody"
    SIGNED_IN = "signed in"
    SEE = "owner, admin or auditor of the organisation"
    ACT = "owner or admin of the organisation"
    OWN = "owner of the organisation"
    OPERATE = "operator"
    API_KEY = "a key of the admin API"


@dataclass(frozen=True, slots=True)
class Right:
    """What a route needs; `fresh`: and to have shown a moment ago who they are."""

    need: Need
    fresh: bool = False


ANYBODY: Final = Right(Need.ANYBODY)
SIGNED_IN: Final = Right(Need.SIGNED_IN)
SEE: Final = Right(Need.SEE)
ACT: Final = Right(Need.ACT)
ACT_FRESH: Final = Right(Need.ACT, fresh=True)
OWN: Final = Right(Need.OWN)
OWN_FRESH: Final = Right(Need.OWN, fresh=True)
OPERATE: Final = Right(Need.OPERATE)

O: Final = "/o/{organisation}"  # noqa: E741 as the paths begin
RIGHTS: Final[Mapping[str, Right]] = {
    "GET /static/{name}": ANYBODY,
    # The door
    "GET /sign-in": ANYBODY,
    "POST /sign-in": ANYBODY,
    "GET /sign-in/code": ANYBODY,
    "POST /sign-in/code": ANYBODY,
    "GET /sign-in/with/{issuer}": ANYBODY,
    "GET /sign-in/answer": ANYBODY,
    "POST /sign-in/issuers/{issuer}/logout": ANYBODY,
    "GET /sign-in/again": SIGNED_IN,
    "POST /sign-in/again": SIGNED_IN,
    "GET /sign-in/again/issuer": SIGNED_IN,
    "GET /link/{token}": ANYBODY,
    "POST /link/{token}": ANYBODY,
    # A set-up link is a right of its own: everybody who has it may (setup/views.py)
    "GET /setup/{token}": ANYBODY,
    "GET /setup/{token}/keys/new": ANYBODY,
    "POST /setup/{token}/keys/new": ANYBODY,
    "GET /setup/{token}/with/{provider}": ANYBODY,
    "POST /preferences": ANYBODY,
    "POST /sign-out": SIGNED_IN,
    # One's own account
    "GET /account": SIGNED_IN,
    "GET /account/password": SIGNED_IN,
    "POST /account/password": SIGNED_IN,
    "POST /account/sessions": SIGNED_IN,
    "POST /account/second-factor/begin": SIGNED_IN,
    "GET /account/second-factor": SIGNED_IN,
    "POST /account/second-factor": SIGNED_IN,
    "GET /account/second-factor.svg": SIGNED_IN,
    "GET /account/second-factor/renew": SIGNED_IN,
    "POST /account/second-factor/renew": SIGNED_IN,
    "GET /account/second-factor/remove": SIGNED_IN,
    "POST /account/second-factor/remove": SIGNED_IN,
    # Organisations
    "GET /": SIGNED_IN,
    "GET /o": SIGNED_IN,
    f"GET {O}/scim": SEE,
    f"GET {O}/scim/live": SEE,
    f"POST {O}/scim/on": ACT,
    f"GET {O}/scim/off": ACT,
    f"POST {O}/scim/off": ACT,
    f"GET {O}/scim/keys/new": ACT_FRESH,
    f"POST {O}/scim/keys/new": ACT_FRESH,
    f"GET {O}/scim/keys/{{key}}/replace": ACT_FRESH,
    f"POST {O}/scim/keys/{{key}}/replace": ACT_FRESH,
    f"GET {O}/scim/keys/{{key}}/limits": ACT_FRESH,
    f"POST {O}/scim/keys/{{key}}/limits": ACT_FRESH,
    f"GET {O}/scim/keys/{{key}}/revoke": ACT,
    f"POST {O}/scim/keys/{{key}}/revoke": ACT,
    f"GET {O}/scim/with/{{provider}}": SEE,
    f"GET {O}/scim/links/new": ACT_FRESH,
    f"POST {O}/scim/links/new": ACT_FRESH,
    f"GET {O}/scim/links/{{link}}/revoke": ACT,
    f"POST {O}/scim/links/{{link}}/revoke": ACT,
    f"GET {O}/members": SEE,
    f"GET {O}/members/{{member}}": SEE,
    f"GET {O}/members/{{member}}/remove": ACT_FRESH,
    f"POST {O}/members/{{member}}/remove": ACT_FRESH,
    f"GET {O}/members/{{member}}/{{act}}": ACT,
    f"POST {O}/members/{{member}}/{{act}}": ACT,
    f"GET {O}/groups": SEE,
    f"GET {O}/groups/{{group}}": SEE,
    f"GET {O}/refused": SEE,
    f"GET {O}/refused/{{letter}}/{{action}}": ACT,
    f"POST {O}/refused/{{letter}}/{{action}}": ACT,
    f"GET {O}/organisation": SEE,
    f"POST {O}/organisation": ACT,
    f"GET {O}/organisation/admins/new": OWN,
    f"POST {O}/organisation/admins/new": OWN,
    f"GET {O}/organisation/admins/{{account}}": OWN,
    f"POST {O}/organisation/admins/{{account}}": OWN,
    f"GET {O}/organisation/api-keys/new": OWN_FRESH,
    f"POST {O}/organisation/api-keys/new": OWN_FRESH,
    f"GET {O}/organisation/api-keys/{{key}}/revoke": OWN,
    f"POST {O}/organisation/api-keys/{{key}}/revoke": OWN,
    # The deployment
    "GET /operations": OPERATE,
    "GET /operations/live": OPERATE,
    "GET /operations/series": OPERATE,
}
"""`METHOD route` → right. Routes of the admin API have a table of their own (`api/routes.py`)."""


DOOR: Final = ("/sign-in", "/link/", "/setup/")


def right_of(request: web.Request) -> Right:
    """What the route of a request needs; what is no route needs a session, and is not found.

    Beside the door nobody has one yet, so what is no route there is not found at once.
    """
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    otherwise = ANYBODY if request.path.startswith(DOOR) else SIGNED_IN
    if resource is None:
        return otherwise
    return RIGHTS.get(f"{method} {resource.canonical}", otherwise)


def check(app: web.Application, others: Iterable[str] = ()) -> None:
    """Raise LookupError for a route of `app` that is in no table; `others` are not of pages."""
    known = {*RIGHTS, *others}
    missing = [name for name in served(app) if name not in known]
    if missing:
        raise LookupError(f"no right is set for {', '.join(missing)} (web/rights.py)")


def served(app: web.Application) -> list[str]:
    """`METHOD route` of all routes but that for whatever else."""
    return sorted(
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "*")
    )
