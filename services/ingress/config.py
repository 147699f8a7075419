"""Settings of ingress, read once at the start."""

from pydantic import Field, SecretStr

from shared.runtime.config import DatabaseUrl, Port, PublicUrl, Seconds, Settings


class IngressSettings(Settings):
    """What ingress needs beside what every service shares."""

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
    database_url: DatabaseUrl = Field(
        description="Postgres with the role rollcall_ingress, `postgresql://user:pw@host/db`."
    )
    invitation_secret: SecretStr = Field(
        min_length=32, description="Secret of the invitation links; the notifier has the same."
    )
    invitation_lifetime_s: Seconds = Field(
        432_000, description="Seconds that an invitation is open; the notifier has the same."
    )
    ingress_reply_budget_s: float = Field(
        2.0, ge=0, le=50, description="Seconds to wait for the decision before answering pending."
    )
    ingress_accept_s: float = Field(
        10.0, gt=0, le=60, description="Seconds within which the broker must append a request."
    )
    ingress_acknowledge_s: float = Field(
        12.0, gt=0, le=90, description="Seconds to await Kafka's acknowledgement; above the former."
    )
    ingress_long_queue: int = Field(
        2000,
        ge=1,
        description="Backlog of a partition, told by a reply, from which on nobody waits.",
    )
    ingress_body_limit_bytes: int = Field(
        8 * 1024 * 1024, ge=1024, le=8 * 1024 * 1024, description="Largest body of a request."
    )
    ingress_body_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Seconds in which the body must have arrived."
    )
    ingress_max_requests: int = Field(
        5000, ge=10, description="Requests in flight; beyond them 503. One organisation: half."
    )
    ingress_max_bytes: int = Field(
        128 * 1024 * 1024,
        ge=16 * 1024 * 1024,
        description="Bytes of bodies in flight; beyond them 503. One organisation: half.",
    )
    ingress_pool_size: int = Field(
        8, ge=1, le=200, description="Connections to Postgres; one organisation: a quarter."
    )
    ingress_statement_timeout_s: float = Field(
        2.0, gt=0, le=60, description="Seconds that a read may take in Postgres."
    )
    ingress_keys_read_s: Seconds = Field(
        900, description="Seconds without Kafka for which the last known keys open reads."
    )
    ingress_keys_write_s: Seconds = Field(
        15, description="Seconds without Kafka for which the last known keys open writes."
    )
    ingress_pre_stop_s: Seconds = Field(
        0, description="Seconds to go on accepting after SIGTERM, until no load balancer asks."
    )
    ingress_drain_s: Seconds = Field(
        20, description="Seconds that requests in flight may take to finish after SIGTERM."
    )

    @property
    def root_url(self) -> str:
        """The public root, without a slash at its end."""
        return self.public_url or f"http://127.0.0.1:{self.ingress_port}"
