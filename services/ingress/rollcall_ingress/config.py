"""Settings of ingress, read once at the start."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from rollcall.events.request import MAX_ACCEPT_S
from rollcall.runtime.config import DatabaseUrl, Port, PublicUrl, Seconds, Settings
from rollcall.tenancy.limits import Network, canonical_networks, parse_network


def _check_networks(text: str) -> str:
    try:
        canonical_networks(each for each in text.split(",") if each.strip())
    except ValueError as error:
        raise ValueError(f"{error}; write 10.0.0.0/8,2001:db8::/32") from error
    return text


Networks = Annotated[str, AfterValidator(_check_networks)]


class IngressSettings(Settings):
    """The settings of ingress, beside those that every service has."""

    ingress_host: str = Field("127.0.0.1", description="Address on which the door listens.")
    ingress_port: Port = Field(8080, description="Port of the door: SCIM and the invitation page.")
    ingress_admin_host: str = Field(
        "127.0.0.1", description="Address of probes and metrics; never a public one."
    )
    ingress_admin_port: Port = Field(8081, description="Port of /livez, /readyz and /metrics.")
    public_url: PublicUrl | None = Field(
        None,
        description="Root of all links that are given out; unset: http://127.0.0.1 with the port.",
    )
    ingress_trusted_proxies: Networks = Field(
        "",
        description="Networks of the proxies before ingress (CIDR, with commas), whose "
        "X-Forwarded-For is believed about a client's address; empty: nobody's is. Only keys that "
        "are limited to networks ask for it.",
    )
    database_url: DatabaseUrl = Field(
        description="Postgres with the role rollcall_ingress, `postgresql://user:pw@host/db`."
    )
    invitation_secret: SecretStr = Field(
        min_length=32, description="Secret of the invitation links; the notifier has the same."
    )
    ingress_reply_budget_s: float = Field(
        2.0, ge=0, le=50, description="Seconds to wait for the decision before answering pending."
    )
    ingress_accept_s: float = Field(
        10.0,
        gt=0,
        le=MAX_ACCEPT_S,
        description="Seconds within which the broker must append a request; a deletion of an "
        "organisation waits for the longest.",
    )
    ingress_acknowledge_s: float = Field(
        12.0,
        gt=0,
        le=55,
        description="Seconds to await Kafka's acknowledgement; never less than the former.",
    )
    ingress_max_requests: int = Field(
        5000,
        ge=10,
        description="Requests in flight; beyond them 503. One organisation has at most half while "
        "others ask, and never all.",
    )
    ingress_max_bytes: int = Field(
        128 * 1024 * 1024,
        ge=16 * 1024 * 1024,
        description="Bytes of bodies and large answers in flight; beyond them 503. One "
        "organisation has at most half while others ask, and never all.",
    )
    ingress_pool_size: int = Field(
        8, ge=1, le=200, description="Connections to Postgres; one organisation: a quarter."
    )
    ingress_pre_stop_s: Seconds = Field(
        0, description="Seconds to go on accepting after SIGTERM, until no load balancer asks."
    )
    ingress_drain_s: Seconds = Field(
        20, description="Seconds that requests in flight may take to finish after SIGTERM."
    )

    @model_validator(mode="after")
    def _is_acknowledged_after_it_is_late(self) -> Self:
        """With a shorter wait a 503 would be given while the broker may still append in time."""
        if self.ingress_acknowledge_s < self.ingress_accept_s:
            raise ValueError(
                "the time ROLLCALL_INGRESS_ACKNOWLEDGE_S is less than ROLLCALL_INGRESS_ACCEPT_S: "
                "what is answered 503 could be applied afterwards"
            )
        return self

    @property
    def trusted_proxies(self) -> tuple[Network, ...]:
        """The networks of the proxies that are believed."""
        texts = self.ingress_trusted_proxies.split(",")
        return tuple(parse_network(each) for each in texts if each.strip())

    @property
    def root_url(self) -> str:
        """The public root, without a slash at its end."""
        return self.public_url or f"http://127.0.0.1:{self.ingress_port}"
