"""Write what the code knows best: both contracts, settings, limits, commands (`make docs`)."""

import importlib
import json
from pathlib import Path
from typing import Any

import yaml

from docs import admin_api, asyncapi, idp_pages, openapi
from rollcall.runtime import config
from rollcall.scim import limits
from rollcall_operator import cli, manual
from rollcall_operator.exits import MEANINGS

HERE = Path(__file__).parent
SERVICES = {
    "ingress": ("rollcall_ingress.config", "IngressSettings"),
    "provisioner": ("rollcall_provisioner.config", "ProvisionerSettings"),
    "notifier": ("rollcall_notifier.config", "NotifierSettings"),
    "console": ("rollcall_console.config", "ConsoleSettings"),
    "rollcall (the command)": ("rollcall.control.settings", "OperatorSettings"),
}
SETTINGS_HEAD = """# Settings

Every setting is an environment variable, read once at the start. A secret may come from a file:
`ROLLCALL_X_FILE` names it. `python -m rollcall_ingress --print-config` shows what a service would
use, secrets hidden. A service with a setting missing or wrong lists all mistakes and exits with
status 2. `rollcall up` sets what its own parts need, and hands on every `ROLLCALL_…` variable of
the caller. This page is written from the settings classes (`make docs`); a test compares the two:

- all services: [`runtime/config.py`](../../shared/rollcall/runtime/config.py)
- one service: `config.py` of [ingress](../../services/ingress/rollcall_ingress/config.py),
  [provisioner](../../services/provisioner/rollcall_provisioner/config.py),
  [notifier](../../services/notifier/rollcall_notifier/config.py) and
  [console](../../services/console/rollcall_console/config.py)
- the command: [`control/settings.py`](../../shared/rollcall/control/settings.py)
"""
CLI_HEAD = """# The command line

`rollcall COMMAND -h` (or `--help`) shows each of these; `rollcall --version` the release;
`--debug`, before the command, or `ROLLCALL_DEBUG=1`, where an error comes from. This page is
written from the commands (`make docs`); a test compares the two.

- `ORG` is an organisation's id, or a name that only one has. It is a word in every command, never
  an option.
- `--data`, or `ROLLCALL_DATA`, is the folder of a stack that `rollcall up` started; without one,
  the variables `ROLLCALL_…` of the [settings](settings.md) name the deployment.
- `--to` is the file or folder that is written. `--json` is for scripts: the names in it are kept.
- What changes something for good asks first, unless `-y` (`--yes`) is given. Where nobody answers,
  nothing is changed.
- Tables: with a frame on a terminal, plain columns in a pipe. An id is never cut: where a table
  does not fit, each row is a block of lines.
- Results go to standard output; all else, one line for an error, to standard error.

## Exit statuses

| status | meaning |
|---|---|"""
CUT = "cut down to it"
LIMITS_HEAD = """# Limits

What a SCIM request may be at most. Beyond it the answer is an error (RFC 7644 §3.12) whose
`detail` names the limit and what to change, and nothing is put on the log. They are the same
everywhere and no settings: each replica and each replay must decide alike (decision 0019). What was
understood must also fit into a record of Kafka of 10 MiB; the little that
does not is refused with 413 before it is sent. This page is written from
`shared/rollcall/scim/limits.py` (`make docs`); a test compares the two.

What one process takes at a time is bounded by `ROLLCALL_INGRESS_MAX_REQUESTS` and
`ROLLCALL_INGRESS_MAX_BYTES` ([settings](settings.md)): beyond them 503 with `Retry-After`. One
organisation has at most half while others ask, and never all. A rate of an organisation is off
until an operator sets one (decision 0020): `rollcall org set ORG rate=50 burst=200`, requests a
second and requests at once, for each replica of ingress; beyond it 429 with `Retry-After`, before
the body is read. No rate below 25 a second can be set.

| what | at most | beyond it |
|---|---|---|"""


def asyncapi_document() -> str:
    """`docs/asyncapi.yaml`."""
    return yaml.safe_dump(asyncapi.document(), sort_keys=False, allow_unicode=True, width=98)


def openapi_document() -> str:
    """`docs/openapi.yaml`."""
    unshared = json.loads(json.dumps(openapi.document()))  # or YAML would write anchors
    return yaml.safe_dump(unshared, sort_keys=False, allow_unicode=True, width=98)


def admin_api_document() -> str:
    """`docs/admin-api.yaml`."""
    unshared = json.loads(json.dumps(admin_api.admin_api()))
    return yaml.safe_dump(unshared, sort_keys=False, allow_unicode=True, width=98)


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


def limits_reference() -> str:
    """`docs/reference/limits.md`."""
    lines = [LIMITS_HEAD]
    for row in limits.TABLE:
        most = f"{row.most:,} {row.unit}".rstrip()
        refusal = f"{row.status} {row.scim_type or ''}".rstrip()
        lines.append(f"| {row.name} | {most} | {CUT if row.status == 200 else refusal} |")
    return "\n".join(lines) + "\n"


def cli_reference() -> str:
    """`docs/reference/cli.md`."""
    lines = [CLI_HEAD]
    lines += [f"| {each.value} | {_cell(meaning)} |" for each, meaning in MEANINGS.items()]
    lines += [
        "",
        "What 1 says, of the commands that ask something:",
        "",
        "| command | 1 |",
        "|---|---|",
    ]
    commands = dict(cli.commands())
    lines += [
        f"| `rollcall {words}` | {manual.PAGES[words].no} |"
        for words in commands
        if manual.PAGES[words].no
    ]
    panel = ""
    for words, (command, context) in commands.items():
        of = manual.PANELS[words.split(" ", 1)[0]]
        if of != panel:
            lines += ["", f"## {of}"]
            panel = of
        lines += ["", f"### rollcall {words}", "", " ".join((command.help or "").split())]
        usage = " ".join(command.collect_usage_pieces(context))
        lines += ["", "```text", f"rollcall {words} {usage}", "```"]
        rows = list(filter(None, map(_parameter, command.get_params(context))))
        lines += ["", "| may be given | meaning |", "|---|---|", *rows] if rows else []
        lines += ["", "```text", *manual.PAGES[words].examples, "```"]
        statuses = ", ".join(str(each.value) for each in manual.PAGES[words].statuses)
        lines += ["", f"Ends with {statuses}."]
    return "\n".join(lines) + "\n"


def _parameter(parameter: Any) -> str:
    """A row of an argument or an option; empty where it is not for people."""
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return ""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or str(parameter.name).upper()
    else:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
    shown, help_text = _cell(name), _cell(parameter.help or "")
    variable = f" (`{parameter.envvar}`)" if parameter.envvar else ""
    default = parameter.default
    is_said = isinstance(default, (int, float, str, Path)) and not isinstance(default, bool)
    value = (
        f" Default: `{getattr(default, 'value', default)}`." if is_said and default != "" else ""
    )
    return f"| `{shown}`{variable} | {help_text}{value} |"


def _cell(text: str) -> str:
    """A text in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _table(title: str, rows: list[tuple[str, str, str, str]]) -> str:
    lines = [f"## {title}", "", "| variable | may be | default | meaning |", "|---|---|---|---|"]
    for variable, may_be, default, meaning in rows:
        name, _, file = variable.partition(" (or ")
        shown = f"`{name}`" + (f" (or `{file.removesuffix(')')}`)" if file else "")
        lines.append(f"| {shown} | {may_be.replace('|', chr(92) + '|')} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write all of them."""
    (HERE / "asyncapi.yaml").write_text(asyncapi_document(), encoding="utf-8")
    (HERE / "openapi.yaml").write_text(openapi_document(), encoding="utf-8")
    (HERE / "admin-api.yaml").write_text(admin_api_document(), encoding="utf-8")
    (HERE / "reference" / "settings.md").write_text(settings_reference(), encoding="utf-8")
    (HERE / "reference" / "limits.md").write_text(limits_reference(), encoding="utf-8")
    (HERE / "reference" / "cli.md").write_text(cli_reference(), encoding="utf-8")
    idp_pages.write()


if __name__ == "__main__":
    main()
