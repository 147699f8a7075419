"""Write what the code knows best: the event contract and the settings reference (`make docs`)."""

import importlib
from pathlib import Path

import yaml

from shared.events import asyncapi
from shared.runtime import config

HERE = Path(__file__).parent
SERVICES = {
    "ingress": ("services.ingress.config", "IngressSettings"),
    "provisioner": ("services.provisioner.config", "ProvisionerSettings"),
    "notifier": ("services.notifier.config", "NotifierSettings"),
    "rollcall (the command)": ("services.operator.deployment", "OperatorSettings"),
}
SETTINGS_HEAD = """# Settings

Every setting is an environment variable, read once at the start. A secret may come from a file:
`ROLLCALL_X_FILE` names it. `python -m services.ingress --print-config` shows what a service would
use, secrets hidden. A service with a setting missing or wrong lists all mistakes and exits with
status 2. `rollcall up` sets what its own parts need, and hands on every `ROLLCALL_…` variable of
the caller. This page is written from the settings classes (`make docs`); a test compares the two.
"""


def asyncapi_document() -> str:
    """`docs/asyncapi.yaml`."""
    return yaml.safe_dump(asyncapi.document(), sort_keys=False, allow_unicode=True, width=98)


def settings_reference() -> str:
    """`docs/reference/settings.md`."""
    classes = {
        name: getattr(importlib.import_module(module), class_name)
        for name, (module, class_name) in SERVICES.items()
    }
    shared_rows = config.describe(config.Settings)
    shared_names = {row[0] for row in shared_rows}
    parts = [SETTINGS_HEAD, _table("All services", shared_rows)]
    for name, settings_class in classes.items():
        rows = [row for row in config.describe(settings_class) if row[0] not in shared_names]
        parts.append(_table(name, rows))
    return "\n".join(parts)


def _table(title: str, rows: list[tuple[str, str, str, str]]) -> str:
    lines = [f"## {title}", "", "| variable | may be | default | meaning |", "|---|---|---|---|"]
    for variable, may_be, default, meaning in rows:
        name, _, file = variable.partition(" (or ")
        shown = f"`{name}`" + (f" (or `{file.removesuffix(')')}`)" if file else "")
        lines.append(f"| {shown} | {may_be.replace('|', chr(92) + '|')} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    (HERE / "asyncapi.yaml").write_text(asyncapi_document(), encoding="utf-8")
    (HERE / "reference" / "settings.md").write_text(settings_reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
