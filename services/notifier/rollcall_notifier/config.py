"""Settings of the notifier."""

from email.errors import MessageError
from email.headerregistry import Address, HeaderRegistry
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from rollcall.directory.address import is_one_mailbox
from rollcall.runtime.config import DatabaseUrl, Port, PublicUrl, Seconds, Settings
from rollcall_notifier.recipient import parse_domains


def parse_sender(text: str) -> tuple[str, str]:
    """Name (may be empty) and address of `Name <local@domain>`. Raises ValueError."""
    try:
        header = HeaderRegistry()("from", text)
        addresses: tuple[Address, ...] = header.addresses  # type: ignore[attr-defined]
    except (MessageError, ValueError, IndexError) as error:
        raise ValueError("must be one mailbox, `local@domain` or `Name <local@domain>`") from error
    if len(addresses) != 1 or not is_one_mailbox(addresses[0].addr_spec):
        raise ValueError("must be one mailbox, `local@domain` or `Name <local@domain>`")
    return addresses[0].display_name, addresses[0].addr_spec


def _check_sender(text: str) -> str:
    parse_sender(text)
    return text


def _check_domains(text: str) -> str:
    parse_domains(text)
    return text


class NotifierSettings(Settings):
    """What the notifier takes from the environment."""

    notifier_admin_host: str = Field(
        "127.0.0.1", description="Address of /livez, /readyz and /metrics."
    )
    notifier_admin_port: Port = Field(8083, description="Port of /livez, /readyz and /metrics.")
    database_url: DatabaseUrl = Field(
        description="Postgres, `postgresql://rollcall_notifier:…@host/database`."
    )
    public_url: PublicUrl = Field(
        "http://127.0.0.1:8080", description="Where people reach ingress; links in mails use it."
    )
    smtp_host: str = Field("127.0.0.1", description="Mail server.")
    smtp_port: Port = Field(25, description="Port of the mail server.")
    smtp_tls: Literal["none", "starttls", "tls"] = Field(
        "none", description="`tls`: encrypted from the first byte; `starttls`: required, not tried."
    )
    smtp_username: str = Field("", description="Login at the mail server; empty: no login.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password of that login.")
    smtp_ca_file: str = Field(
        "", description="PEM file with the authorities of the mail server; empty: the system's."
    )
    smtp_from: Annotated[str, AfterValidator(_check_sender)] = Field(
        "Rollcall <no-reply@localhost>",
        description="Whom mails come from, `Name <local@domain>`; its domain is in Message-IDs.",
    )
    invitation_secret: SecretStr = Field(
        min_length=32,
        description="Secret that makes and checks invitation links; the same in ingress.",
    )
    invitation_lifetime_s: Seconds = Field(
        5 * 86400, description="How long an invitation can be accepted."
    )
    notifier_invitation_grace_s: Seconds = Field(
        120, description="Wait before an invitation leaves, in which a mistake can be taken back."
    )
    notifier_settle_s: Seconds = Field(
        10,
        description="Wait before a notice that access has ended, or is back, leaves; of what goes "
        "back and forth within it only the last is told, if it is news.",
    )
    notifier_rate_per_organisation: float = Field(
        5,
        gt=0,
        le=100_000,
        description="Invitations a second for one organisation, per replica, and as many notices "
        "of other kinds, once a burst of 3,000 is used up.",
    )
    notifier_recipient_mails: int = Field(
        3,
        ge=1,
        le=1_000_000,
        description="Most mails to one recipient within ten minutes, of all kinds, for all "
        "organisations, by all replicas; what is beyond it is dropped.",
    )
    notifier_recipient_mails_a_day: int = Field(
        10,
        ge=1,
        le=1_000_000,
        description="Most mails to one recipient within 24 hours; for one organisation half of it.",
    )
    notifier_recipient_domains: Annotated[str, AfterValidator(_check_domains)] = Field(
        "",
        description="Domains that may be written to, with commas between; `.acme.example` means "
        "all below it; empty: every one.",
    )
    notifier_connections: int = Field(
        4, ge=1, le=50, description="Most connections to the mail server, per replica."
    )
    notifier_lease_s: float = Field(
        15,
        ge=1,
        le=600,
        description="Seconds without renewal after which another replica sends what this one held.",
    )
    notifier_retry_maximum_s: float = Field(
        900,
        ge=0.05,
        le=86400,
        description="Longest wait between two attempts of one mail, which doubles from 5 s on.",
    )
    notifier_stall_s: Seconds = Field(
        120,
        description="A worker with lag, no known outage and no progress for this long ends the "
        "process.",
    )
    notifier_drain_s: Seconds = Field(
        10, description="Longest wait, at a stop, for mails that are being sent."
    )

    def unsafe(self) -> list[str]:
        """What a production must not have; a login at the mail server in clear text too."""
        lines = super().unsafe()
        has_login = bool(self.smtp_username or self.smtp_password.get_secret_value())
        if has_login and self.smtp_tls == "none":
            lines.append(
                "ROLLCALL_SMTP_TLS: is `none`, so the login at the mail server would be sent in "
                "clear text; set it to starttls or tls"
            )
        return lines

    @property
    def group_id(self) -> str:
        """The consumer group of the outcomes topic."""
        return f"{self.topic_prefix}-notifier"
