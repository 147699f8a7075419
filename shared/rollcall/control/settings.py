"""What the operator's commands need to know of a deployment."""

from pydantic import Field, SecretStr

from rollcall.runtime.config import PublicUrl, Settings


class OperatorSettings(Settings):
    """What the `rollcall` command needs to reach a deployment."""

    database_url: SecretStr = Field(
        SecretStr(""), description="Postgres as the owner role, `postgresql://…`."
    )
    kafka_managed: bool = Field(
        False,
        description="The brokers are configured by others: what only their own settings "
        "would mend is a note of `topics check` and `doctor`, and not wrong.",
    )
    public_url: PublicUrl = Field(
        "http://127.0.0.1:8080", description="The server's root as the outside world sees it."
    )

    def scim_base_url(self, organisation_id: str) -> str:
        """What an administrator pastes into an identity provider as the SCIM URL."""
        return f"{self.public_url}/v2/{organisation_id}"
