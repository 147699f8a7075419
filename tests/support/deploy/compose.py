"""deploy/compose.yaml with its variables replaced. No test in here."""

import re

import yaml

from tests.support.deploy.manifests import ROOT, Json

FILE = ROOT / "deploy" / "compose.yaml"
VARIABLE = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")


def composed(**given: str) -> Json:
    """The file with its variables replaced; what must be set and is not given has a long value."""

    def value(found: re.Match[str]) -> str:
        return given.get(found[1], found[3] if found[2] == "-" else f"{found[1]}-{'0' * 32}")

    found: Json = yaml.safe_load(VARIABLE.sub(value, FILE.read_text()))
    return found
