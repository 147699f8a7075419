"""Settings of the console."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from rollcall.runtime.config import DatabaseUrl, Port, PublicUrl, Seconds, Settings
from rollcall.runtime.sealed import Sealer


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _https_or_loopback(value: str) -> str:
    parts = urlsplit(value)
    if parts.path or parts.query:
        raise ValueError("must be scheme, host and port alone: the console is at the root")
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ValueError("must start with https://, except on this machine itself (127.0.0.1)")
    return value


def _check_secret(value: SecretStr) -> SecretStr:
    Sealer.of(value.get_secret_value())
    return value


ConsoleUrl = Annotated[PublicUrl, AfterValidator(_https_or_loopback)]
SealingSecret = Annotated[SecretStr, AfterValidator(_check_secret)]


class ConsoleSettings(Settings):
    """What the console takes from the environment."""

    console_host: str = Field("127.0.0.1", description="Address on which the console listens.")
    console_port: Port = Field(8090, description="Port of the console's pages.")
    console_admin_host: str = Field(
        "127.0.0.1", description="Address of probes and metrics; never a public one."
    )
    console_admin_port: Port = Field(8091, description="Port of /livez, /readyz and /metrics.")
    console_url: ConsoleUrl | None = Field(
        None,
        description="The console's root as browsers see it, `https://…`; unset: http://127.0.0.1 "
        "with the port. Forms that come from another origin are refused.",
    )
    public_url: PublicUrl = Field(
        "http://127.0.0.1:8080", description="Root of the SCIM URLs that are shown."
    )
    database_url: DatabaseUrl = Field(
        description="Postgres with the role rollcall_console, `postgresql://user:pw@host/db`."
    )
    console_secret: SealingSecret = Field(
        description="Secrets that second factors are encrypted with, one a line, 32 characters at "
        "least each. The first encrypts, all decrypt: put a new one above the old one, then "
        "`rollcall console reseal`."
    )
    console_idle_s: Seconds = Field(
        1800, ge=60, description="Seconds without a request after which a session is over."
    )
    console_absolute_s: Seconds = Field(
        43200, ge=60, description="Seconds after which a session is over in any case."
    )
    console_fresh_s: Seconds = Field(
        900,
        ge=60,
        description="Seconds since somebody last showed who they are, after which it is asked "
        "again before a key is made or a person is removed.",
    )
    console_local_accounts: bool = Field(
        True,
        description="Whether accounts with a password sign in; off: by an issuer alone, but for "
        "the account for an emergency and links of `rollcall console link`.",
    )
    console_pool_size: int = Field(8, ge=2, le=100, description="Connections to Postgres.")
    console_drain_s: Seconds = Field(
        10, description="Seconds that requests in flight may take to finish after SIGTERM."
    )

    def unsafe(self) -> list[str]:
        """Beside what every service has: pages that are not encrypted."""
        found = super().unsafe()
        if not self.root_url.startswith("https://"):
            found.append("ROLLCALL_CONSOLE_URL: must start with https://")
        return found

    @property
    def root_url(self) -> str:
        """The root of the pages, without a slash at its end."""
        return self.console_url or f"http://127.0.0.1:{self.console_port}"

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers speak TLS to it."""
        return self.root_url.startswith("https://")

    def scim_url(self, organisation_id: str) -> str:
        """The SCIM URL that an admin enters in an identity provider."""
        return f"{self.public_url}/v2/{organisation_id}"
