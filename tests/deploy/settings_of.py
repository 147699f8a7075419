"""Which settings a container reads, and what its command line takes. No test in here."""

from typing import Any

import typer
import typer.core
import typer.main

from rollcall.control.settings import OperatorSettings
from rollcall.runtime.config import PREFIX, Settings, is_secret
from rollcall_console.config import ConsoleSettings
from rollcall_ingress.config import IngressSettings
from rollcall_notifier.config import NotifierSettings
from rollcall_operator import cli
from rollcall_provisioner.config import ProvisionerSettings
from tests.support.deploy.manifests import Json

SETTINGS: dict[str, type[Settings]] = {
    "ingress": IngressSettings,
    "provisioner": ProvisionerSettings,
    "notifier": NotifierSettings,
    "console": ConsoleSettings,
}
ALL_SETTINGS: list[type[Settings]] = [*SETTINGS.values(), OperatorSettings]


def settings_of(container: Json) -> type[Settings]:
    arguments = container.get("args", [])
    return SETTINGS[arguments[1]] if arguments[0] == "serve" else OperatorSettings


def variables(settings_class: type[Settings]) -> set[str]:
    found = set()
    for name, field in settings_class.model_fields.items():
        found.add(f"{PREFIX}{name.upper()}")
        if is_secret(field.annotation):
            found.add(f"{PREFIX}{name.upper()}_FILE")
    return found


def parse(arguments: list[str]) -> None:
    """Parse as the command line would, and run nothing. Raises what it does not know."""
    command: Any = typer.main.get_command(cli.app)
    name, *rest = arguments
    command = command.get_command(None, name)
    if command is None:
        raise KeyError(name)
    while isinstance(command, typer.core.TyperGroup):
        name, *rest = rest
        command = command.commands[name]
    command.make_context(name, rest)
