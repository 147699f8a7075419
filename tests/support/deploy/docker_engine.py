"""A Docker engine and a base image for tests of ours. Nothing is skipped: what is missing is said.

The engine: the one that answers (`DOCKER_HOST`, or the usual socket), else Debian's `dockerd`
(package `docker.io`), started as root in a folder of its own.

The base: `ROLLCALL_TEST_BASE`, the name of an image with Python, venv and CA certificates; else one
made from Debian's packages (`mmdebstrap`), kept in the user's cache. No registry is asked.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rollcall_local.stack.kafka.jars import user_cache
from rollcall_local.stack.process import wait_until

ROOT = Path(__file__).parents[3]
BASE = "rollcall-test-base:bookworm"
_START_S = 60.0
_STOP_S = 30.0
_BUILD_S = 1500.0
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_PACKAGES = "python3,python3-venv,ca-certificates"


class Missing(Exception):
    """Something has to be installed first; the message says what."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker engine that answers."""

    client: str
    host: str | None
    """Its address where it is not the usual one."""

    @property
    def environment(self) -> dict[str, str]:
        """The client's variables. The classic builder needs no plug-in, and our file no other."""
        host = {"DOCKER_HOST": self.host} if self.host else {}
        return {**os.environ, **host, "DOCKER_BUILDKIT": "0"}

    def __call__(self, *arguments: str | Path, timeout_s: float = 120.0) -> str:
        """Run the client; its output. Raises AssertionError with what it said."""
        done = subprocess.run(
            [self.client, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"docker {arguments[0]}: {(done.stderr or done.stdout)[-3000:]}")
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        """Whether the engine has an image."""
        with contextlib.suppress(AssertionError):
            return bool(self("image", "inspect", "--format", "{{.Id}}", image))
        return False

    def build(self, image: str, base: str, **arguments: str) -> None:
        """Build our Dockerfile from the tree as it is."""
        given = {"BASE": base, **arguments}
        options = [f"--build-arg={name}={value}" for name, value in given.items()]
        file = ROOT / "deploy" / "docker" / "Dockerfile"
        named = ["-f", str(file), "-t", image, *options, str(ROOT)]
        self("build", "-q", "--network=host", *named, timeout_s=_BUILD_S)

    def base(self) -> str:
        """The base image, made if need be. Raises Missing."""
        if named := os.environ.get("ROLLCALL_TEST_BASE"):
            return named
        if not self.has(BASE):
            # What pip needs to find its index here, where that is not the usual one.
            variables = {n: v for n, v in os.environ.items() if n.startswith("PIP_INDEX")}
            variables["PIP_CERT"] = str(_AUTHORITIES)
            changes = [f"--change=ENV {name}={value}" for name, value in variables.items()]
            self("import", *changes, _debian(), BASE, timeout_s=300.0)
        return BASE


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """The engine that answers, or one of our own. Raises Missing."""
    client = shutil.which("docker")
    if client is None:
        raise Missing("there is no `docker` command: install Debian's docker.io, or Docker")
    usual = Engine(client, None)
    if _answers(usual):
        yield usual
        return
    daemon = shutil.which("dockerd")
    if daemon is None or os.geteuid() != 0:
        raise Missing(
            "no Docker engine answers; start one, or run as root with Debian's docker.io installed"
        )
    with _own_engine(client, daemon) as own:
        yield own


def _answers(found: Engine) -> bool:
    with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
        return bool(found("version", "--format", "{{.Server.Version}}", timeout_s=5.0))
    return False


@contextlib.contextmanager
def _own_engine(client: str, daemon: str) -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="rollcall-docker-"))
    host = f"unix://{folder}/docker.sock"
    # It leaves this machine's network alone: what runs in it uses that, or none.
    command = [daemon, "--host", host, "--bridge=none", "--iptables=false"]
    command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid"]
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    found = Engine(client, host)
    try:
        if not wait_until(lambda: process.poll() is not None or _answers(found), _START_S):
            raise Missing("dockerd does not answer: " + log.read_text(errors="replace")[-2000:])
        if process.poll() is not None:
            raise Missing("dockerd ended: " + log.read_text(errors="replace")[-2000:])
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unmount(folder: Path) -> None:
    """Let go what a stopped engine leaves mounted: at least a network namespace."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed([each for each in mounted if each.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", place], check=False, timeout=_STOP_S)


def _debian() -> Path:
    """A root file system of Debian with Python, as an archive; made once. Raises Missing."""
    found = user_cache() / "test-base" / "bookworm.tar"
    if found.exists():
        return found
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        raise Missing(
            "no base image: name one in ROLLCALL_TEST_BASE, or be root and install mmdebstrap"
        )
    found.parent.mkdir(parents=True, exist_ok=True)
    draft = found.with_suffix(f".{os.getpid()}.tar")
    copied = f"--customize-hook=copy-in {_AUTHORITIES} {_AUTHORITIES.parent}"
    command = ["mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}"]
    done = subprocess.run(
        [*command, copied, "bookworm", draft],
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,  # what is in the image is for its users, not for ours
    )
    if done.returncode != 0:
        raise Missing(f"mmdebstrap made no base image: {done.stderr[-2000:]}")
    draft.rename(found)
    return found
