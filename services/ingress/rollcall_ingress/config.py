"""Settings of ingress, read once at the start."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from rollcall.events.request import MAX_ACCEPT_S
from rollcall.runtime.config import DatabaseUrl, Port, PublicUrl, Seconds, Settings
from rollcall.scim import limits
from rollcall.scim.limits import FilterLimits, Limits
from rollcall.tenancy.api_key import MAX_STALE_S
from rollcall_ingress.behind import overlay


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
    ingress_long_queue: int = Field(
        2000,
        ge=1,
        description="Backlog of a partition, told by a reply, from which on nobody waits.",
    )
    ingress_body_limit_bytes: int = Field(
        limits.MAX_BODY_BYTES,
        ge=1024,
        le=limits.MAX_BODY_BYTES,
        description="Largest body of a request; beyond it 413.",
    )
    ingress_max_depth: int = Field(
        limits.MAX_DEPTH,
        ge=8,
        le=limits.MAX_DEPTH,
        description="Levels of a body; beyond them 400.",
    )
    ingress_max_members: int = Field(
        limits.MAX_MEMBERS,
        ge=100,
        le=limits.MAX_MEMBERS,
        description="Members of a group that one request may name; beyond them 400.",
    )
    ingress_max_patch_operations: int = Field(
        limits.MAX_OPERATIONS,
        ge=10,
        le=limits.MAX_OPERATIONS,
        description="Operations of one PATCH; beyond them 400.",
    )
    ingress_filter_limit_bytes: int = Field(
        limits.MAX_FILTER_BYTES,
        ge=512,
        le=limits.MAX_FILTER_BYTES,
        description="Largest filter of a list; beyond it 400.",
    )
    ingress_max_filter_nodes: int = Field(
        limits.MAX_FILTER_NODES,
        ge=10,
        le=limits.MAX_FILTER_NODES,
        description="Conditions and connections in the filter of a list; beyond them 400.",
    )
    ingress_max_filter_depth: int = Field(
        limits.MAX_FILTER_DEPTH,
        ge=4,
        le=limits.MAX_FILTER_DEPTH,
        description="Levels of brackets in the filter of a list; beyond them 400.",
    )
    ingress_default_page: int = Field(
        limits.DEFAULT_PAGE,
        ge=1,
        le=limits.MAX_PAGE,
        description="Resources on a page where the client names no `count`.",
    )
    ingress_largest_page: int = Field(
        limits.MAX_PAGE,
        ge=1,
        le=limits.MAX_PAGE,
        description="Most resources on a page; a larger `count` is cut down to it.",
    )
    ingress_body_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Seconds in which the body must have arrived."
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
    ingress_overlay_requests: int = Field(
        overlay.MAX_REQUESTS,
        ge=100,
        description="Accepted requests that are kept for reads until they are applied; beyond "
        "them the oldest are forgotten.",
    )
    ingress_overlay_bytes: int = Field(
        overlay.MAX_BYTES,
        ge=1024 * 1024,
        description="Bytes of memory that these may take; beyond them the oldest are forgotten.",
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
    ingress_keys_write_s: float = Field(
        15,
        ge=0,
        le=MAX_STALE_S,
        description="Seconds without Kafka for which the last known keys open writes; a deletion "
        "of an organisation waits for the longest.",
    )
    ingress_pre_stop_s: Seconds = Field(
        0, description="Seconds to go on accepting after SIGTERM, until no load balancer asks."
    )
    ingress_drain_s: Seconds = Field(
        20, description="Seconds that requests in flight may take to finish after SIGTERM."
    )

    @model_validator(mode="after")
    def _page_fits(self) -> Self:
        if self.ingress_default_page > self.ingress_largest_page:
            raise ValueError(
                "ROLLCALL_INGRESS_DEFAULT_PAGE is more than ROLLCALL_INGRESS_LARGEST_PAGE"
            )
        return self

    @model_validator(mode="after")
    def _is_acknowledged_after_it_is_late(self) -> Self:
        """Otherwise a 503 is given while the broker may still append the request in time."""
        if self.ingress_acknowledge_s < self.ingress_accept_s:
            raise ValueError(
                "the time ROLLCALL_INGRESS_ACKNOWLEDGE_S is less than ROLLCALL_INGRESS_ACCEPT_S: "
                "what is answered 503 could be applied afterwards"
            )
        return self

    @property
    def request_limits(self) -> Limits:
        """What a request may be at most."""
        return Limits(
            body_bytes=self.ingress_body_limit_bytes,
            depth=self.ingress_max_depth,
            members=self.ingress_max_members,
            patch_operations=self.ingress_max_patch_operations,
            filter=FilterLimits(
                bytes=self.ingress_filter_limit_bytes,
                nodes=self.ingress_max_filter_nodes,
                depth=self.ingress_max_filter_depth,
            ),
            default_page=self.ingress_default_page,
            largest_page=self.ingress_largest_page,
        )

    @property
    def root_url(self) -> str:
        """The public root, without a slash at its end."""
        return self.public_url or f"http://127.0.0.1:{self.ingress_port}"
