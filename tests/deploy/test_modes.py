"""What others read is readable by them, however strict the umask of the one who made it."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollcall_local.stack.kafka import jars as kafka_jars
from rollcall_local.stack.kafka.jars import LockedJar
from tests.support.deploy import stand_in_images
from tests.support.deploy.manifests import ROOT


@pytest.fixture(params=[0o077, 0o027, 0o022])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def closed_to_others(folder: Path) -> list[str]:
    """What below a folder another user cannot read, or pass through."""
    return [
        f"{path.relative_to(folder)} {stat.filemode(path.stat().st_mode)}"
        for path in (folder, *folder.rglob("*"))
        if path.stat().st_mode & 0o005 != (0o005 if path.is_dir() else 0o004)
    ]


@pytest.mark.usefixtures("_umask")
def test_the_stand_ins_are_made_of_files_that_their_users_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the jars come from a folder that is its owner's alone."""
    libs, context = tmp_path / "libs", tmp_path / "context"
    libs.mkdir(0o700)
    (libs / "kafka_2.13-4.3.1.jar").write_bytes(b"of some length")
    (libs / "kafka_2.13-4.3.1.jar").chmod(0o600)
    monkeypatch.setenv("ROLLCALL_KAFKA_LIBS", str(libs))
    context.mkdir()

    stand_in_images.write_context(context)

    assert closed_to_others(context) == []
    assert (context / "libs" / "kafka_2.13-4.3.1.jar").read_bytes() == b"of some length"


@pytest.mark.usefixtures("_umask")
def test_the_cache_of_jars_can_be_read_by_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `rollcall up` fetches them, under a umask of its own."""
    lock = tmp_path / "lock.toml"
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    lock.write_text(
        '[[dependencies]]\ngroupId = "org.a"\nartifactId = "b"\nversion = "1"\n'
        f'sha256 = "{digest}"\n'
    )

    def download(repository: Path, jars: list[LockedJar]) -> None:
        for jar in jars:
            (repository / jar.path).parent.mkdir(parents=True)
            (repository / jar.path).touch()

    monkeypatch.delenv("ROLLCALL_KAFKA_LIBS", raising=False)
    monkeypatch.setattr(kafka_jars, "_download", download)

    [jar] = kafka_jars.find_jars(tmp_path / "cache", lock)

    assert jar.is_file()
    assert closed_to_others(tmp_path / "cache" / "kafka" / "repository" / "org") == []
    assert (tmp_path / "cache" / "kafka" / "repository").stat().st_mode & 0o005 == 0o005


@pytest.mark.parametrize(
    "file", ["deploy/docker/Dockerfile", "tests/support/deploy/stand_ins/Dockerfile"]
)
def test_every_layer_that_makes_files_has_a_umask_of_its_own(file: str) -> None:
    """A builder may hand on the umask of its daemon."""
    commands = re.findall(r"^RUN (.*)", (ROOT / file).read_text(), re.MULTILINE)

    assert commands
    assert [each for each in commands if not each.startswith("umask 0022 && ")] == []
