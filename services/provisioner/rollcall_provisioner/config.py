"""Settings of the provisioner."""

from pydantic import Field

from rollcall.runtime.config import DatabaseUrl, Port, Seconds, Settings


class ProvisionerSettings(Settings):
    """What the provisioner takes from the environment."""

    provisioner_admin_host: str = Field(
        "127.0.0.1", description="Address of /livez, /readyz and /metrics."
    )
    provisioner_admin_port: Port = Field(8082, description="Port of /livez, /readyz and /metrics.")
    database_url: DatabaseUrl = Field(
        description="Postgres, `postgresql://rollcall_provisioner:…@host/database`."
    )
    provisioner_group_id: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]{0,120}$",
        description="Consumer group of the requests; empty: `<topic prefix>.provisioner`.",
    )
    provisioner_batch_records: int = Field(
        500, ge=1, le=5000, description="Most requests in one transaction."
    )
    provisioner_batch_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Most bytes of requests in one transaction; a larger one goes alone.",
    )
    provisioner_dead_letter_limit: int = Field(
        10,
        ge=1,
        le=1000,
        description="So many causes of dead letters among 1,000 records, of several organisations, "
        "halt a partition; half of it, of one alone, parks that one.",
    )
    provisioner_pool_size: int = Field(
        8, ge=2, le=100, description="Most connections to Postgres; partitions share them."
    )
    provisioner_statement_timeout_s: float = Field(
        30, ge=1, le=600, description="Longest statement; its batch is then tried again."
    )
    provisioner_stall_s: Seconds = Field(
        120,
        description="A worker with lag, no known outage and no progress for so long ends the "
        "process; never less than two statement timeouts.",
    )
    provisioner_drain_s: Seconds = Field(
        10, description="Longest wait for a worker's batch when it loses its partition or stops."
    )

    @property
    def stall_s(self) -> float:
        """Seconds after which standing still is no slow statement any more."""
        return max(self.provisioner_stall_s, 2 * self.provisioner_statement_timeout_s)

    @property
    def group_id(self) -> str:
        """The consumer group of the requests topic; the tenancy topic's has a suffix."""
        return self.provisioner_group_id or f"{self.topic_prefix}.provisioner"
