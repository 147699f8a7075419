"""How an operator's commands reach the stack that runs in a folder."""

from pathlib import Path
from typing import Any

from rollcall.control.settings import OperatorSettings
from rollcall.runtime.config import load
from rollcall_local.stack.folder import Folder, read_json
from rollcall_local.stack.kafka import login as kafka_login
from rollcall_local.stack.kafka.login import Login
from rollcall_local.stack.stack_file import StackFile


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
        "console_url": stack.console_url,
        "console_secret": folder.kept_secrets().get("console-seal", ""),
        # The stack's own, not the caller's variable.
        "topic_prefix": prefix or OperatorSettings.model_fields["topic_prefix"].default,
    }
    return load(OperatorSettings, **given)
