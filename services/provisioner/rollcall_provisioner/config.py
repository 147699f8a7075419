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
    provisioner_dead_letter_limit: int = Field(
        10,
        ge=1,
        le=1000,
        description="Causes of dead letters among 1,000 records, of several organisations, that "
        "halt a partition; half of it, of one organisation alone, parks that one.",
    )
    provisioner_statement_timeout_s: float = Field(
        30, ge=1, le=600, description="Longest statement; its batch is then tried again."
    )
    provisioner_stall_s: Seconds = Field(
        120,
        description="A worker with lag, no known outage and no progress for this long ends the "
        "process; never less than two statement timeouts.",
    )
    provisioner_drain_s: Seconds = Field(
        10, description="Longest wait for a worker's batch when it loses its partition or stops."
    )

    @property
    def stall_s(self) -> float:
        """Seconds without progress, with lag and no known outage, after which the process ends."""
        return max(self.provisioner_stall_s, 2 * self.provisioner_statement_timeout_s)

    @property
    def group_id(self) -> str:
        """The consumer group of the requests topic; the tenancy topic's has a suffix."""
        return f"{self.topic_prefix}.provisioner"
