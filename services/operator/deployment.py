"""Which deployment a command talks to: the stack below `--data`, else `ROLLCALL_…` variables."""

import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import Field, SecretStr

from services.operator.stack import kafka_login
from services.operator.stack.folder import Folder, read_json
from services.operator.stack.kafka_login import Login
from services.operator.stack.stack_file import StackFile
from services.operator.terminal import CommandError
from shared.runtime.config import PublicUrl, Settings, load

DATA: Final = "ROLLCALL_DATA"
"""The variable that stands for `--data` in every command."""
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar=DATA,
        help="Folder of the stack: `.rollcall/stack.json` below it is read.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
HERE: Final = Path()


class OperatorSettings(Settings):
    """What the `rollcall` command needs to reach a deployment."""

    database_url: SecretStr = Field(
        SecretStr(""), description="Postgres as the owner role, `postgresql://…`."
    )
    kafka_managed: bool = Field(
        False,
        description="The brokers are somebody else's to configure: what only their own settings "
        "would mend is a note of `topics check` and `doctor`, and not wrong.",
    )
    public_url: PublicUrl = Field(
        "http://127.0.0.1:8080", description="The server's root as the outside world sees it."
    )

    def scim_base_url(self, organisation_id: str) -> str:
        """What an administrator pastes into an identity provider as the SCIM URL."""
        return f"{self.public_url}/v2/{organisation_id}"


def find(data: Path) -> OperatorSettings:
    """The settings for the stack in `data`, or those of the environment.

    Raises CommandError where there is neither, StackError, InvalidSettings.
    """
    folder = Folder.at(data)
    if folder.stack_file.exists():
        if folder.supervisor() is None:  # it was killed and could not remove the file
            raise CommandError(f"no stack runs in {data.resolve()}; start one with `rollcall up`")
        return of_stack(data, StackFile.load(data))
    if not os.environ.get("ROLLCALL_KAFKA_BOOTSTRAP"):
        raise CommandError(
            f"no stack in {data.resolve()} and ROLLCALL_KAFKA_BOOTSTRAP is not set; "
            "start one with `rollcall up`, or name its folder with --data"
        )
    return load(OperatorSettings)


def of_stack(data: Path, stack: StackFile) -> OperatorSettings:
    """The settings that reach the stack that runs in `data`. Raises InvalidSettings."""
    folder = Folder.at(data)
    prefix = read_json(folder.status_file).get("topic_prefix")
    password = folder.kept_secrets().get(kafka_login.SECRET)
    login = Login.of(stack.kafka_kind, password)
    given: dict[str, Any] = {
        "kafka_bootstrap": stack.kafka_bootstrap,
        **({} if login is None else login.settings()),
        "database_url": stack.database_url,
        "public_url": stack.scim_url,
        # Its own, whatever the variable says here and now.
        "topic_prefix": prefix or OperatorSettings.model_fields["topic_prefix"].default,
    }
    return load(OperatorSettings, **given)
