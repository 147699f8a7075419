"""An issuer of OpenID Connect that says what a test wants, true or false. No test in here.

It is a real HTTP server with real signatures; `provider.py` starts a real provider.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.support.console import Answer, Browser

CLIENT = "rollcall-console"
CLIENT_SECRET = "a secret: of the client"


def new_key(key_id: str = "one") -> RSAKey:
    """A key that signs."""
    return RSAKey.generate_key(2048, {"kid": key_id, "use": "sig"}, private=True)


@dataclass(slots=True)
class Issuer:
    """What it says. `claims` are put over those that are right; None takes one away."""

    server: TestServer
    key: RSAKey = field(default_factory=new_key)
    published: list[RSAKey] | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    says: dict[str, Any] = field(default_factory=dict)
    """Put over its discovery document."""
    answers: dict[str, str] = field(default_factory=dict)
    """Put over the parameters with which it sends back."""
    algorithm: str = "RS256"
    path: str = ""
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The issuer."""
        return f"http://127.0.0.1:{self.server.port}{self.path}"

    def token(self, claims: Mapping[str, Any]) -> str:
        """A token of these claims, signed as it is set to."""
        said = {name: value for name, value in claims.items() if value is not None}
        if self.algorithm in ("none", "HS256"):
            # By hand: the library refuses to make what an attacker would.
            head = f'{{"alg":"{self.algorithm}","kid":"{self.key.kid}"}}'
            body = jwt.encode({"alg": "RS256"}, said, self.key).split(".")[1]
            signed = f"{_text(head.encode())}.{body}"
            shared = self.key.as_pem(private=False)
            digest = hmac.digest(shared, signed.encode(), "sha256")
            return f"{signed}.{_text(digest) if self.algorithm == 'HS256' else ''}"
        return jwt.encode({"alg": self.algorithm, "kid": self.key.kid}, said, self.key)

    async def _discover(self, _: web.Request) -> web.Response:
        root = f"http://127.0.0.1:{self.server.port}"
        said = {
            "issuer": self.url,
            "authorization_endpoint": f"{root}/authorize?p=1",
            "token_endpoint": f"{root}/token",
            "jwks_uri": f"{root}/keys",
            **self.says,
        }
        return web.json_response(said)

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = request.query
        code = secrets.token_urlsafe(16)
        self.codes[code] = dict(asked)
        self.asked.append(asked.get("max_age", ""))
        back = {"code": code, "state": asked["state"], **self.answers}
        return web.Response(
            status=303,
            headers={"Location": f"{asked['redirect_uri']}?{urlencode(back)}"},
        )

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        pair = f"{CLIENT}:a%20secret%3A%20of%20the%20client"
        wanted = f"Basic {base64.b64encode(pair.encode()).decode()}"
        asked = self.codes.pop(str(form.get("code")), None)  # a code works once
        verifier = str(form.get("code_verifier"))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        if (
            request.headers.get("Authorization") != wanted
            or asked is None
            or asked["code_challenge"] != challenge.rstrip(b"=").decode()
            or asked["redirect_uri"] != form.get("redirect_uri")
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "ana",
            "email": "ana@acme.example",
            "name": "Ana Silva",
            "groups": ["staff"],
            "nonce": asked["nonce"],
            "iat": int(time.time()),
            "exp": int(time.time()) + 300,
            "auth_time": int(time.time()),
            "sid": "session-1",
            **self.claims,
        }
        return web.json_response({"access_token": "x", "id_token": self.token(claims)})

    async def _keys(self, _: web.Request) -> web.Response:
        self.asked.append("keys")
        published = [self.key] if self.published is None else self.published
        return web.json_response({"keys": [key.as_dict(private=False) for key in published]})


@contextlib.asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An issuer that serves."""
    app = web.Application()
    issuer = Issuer(TestServer(app))
    app.router.add_get("/{tail:.*}.well-known/openid-configuration", issuer._discover)
    app.router.add_get("/authorize", issuer._authorize)
    app.router.add_post("/token", issuer._token)
    app.router.add_get("/keys", issuer._keys)
    await issuer.server.start_server()
    try:
        yield issuer
    finally:
        await issuer.server.close()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def to_issuer(opened: Browser, path: str) -> str:
    """Begin a sign-in; the address at which it comes back, below the console's root."""
    begun = await opened.get(path)
    assert begun.status == 303, begun
    assert begun.location is not None
    async with opened.session.get(begun.location, allow_redirects=False) as answer:
        back = answer.headers["Location"]
    assert back.startswith(opened.root), back
    return back.removeprefix(opened.root)


async def come_in(opened: Browser, path: str) -> Answer:
    """A whole sign-in, there and back."""
    return await opened.get(await to_issuer(opened, path))
