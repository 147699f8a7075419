"""Settings with which an operator reaches a deployment."""

from pydantic import Field, SecretStr

from rollcall.runtime.config import PublicUrl, Settings


class OperatorSettings(Settings):
    """Kafka, the owner's Postgres and the public URL of a deployment."""

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

    console_url: PublicUrl = Field(
        "http://127.0.0.1:8090", description="The console's root, for the links into it."
    )
    console_secret: SecretStr = Field(
        SecretStr(""), description="The console's secrets, for `rollcall console reseal` alone."
    )

    def scim_base_url(self, organisation_id: str) -> str:
        """The SCIM URL that an administrator enters in an identity provider."""
        return f"{self.public_url}/v2/{organisation_id}"
