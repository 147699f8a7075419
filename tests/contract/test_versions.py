"""Old events under today's code: upcasters, golden files kept for ever, the same bytes everywhere.

A log is read again years later, by another release under another Python: what it leads to must not
depend on either, nor on the order in which a set happens to be walked.
"""

import copy
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from rollcall.events import envelope, request
from rollcall.events.envelope import MalformedEvent
from rollcall.events.upcast import UPCASTS, upcast
from tests.support import fold_recorded

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]
RECORDED = GOLDEN / "requests.v1.jsonl"
FOLDED = GOLDEN / "requests.v1.folded"
EXTERNAL_IDS = GOLDEN / "requests.v1.external-ids.jsonl"
SUMS = GOLDEN / "SHA256SUMS"
LIBRARIES = ("orjson", "precis-i18n")
"""All that the pure core needs."""


def golden(name: str) -> envelope.Event:
    record = orjson.loads((GOLDEN / f"{name}.json").read_bytes())
    headers = [(key, text.encode()) for key, text in record["headers"].items()]
    return envelope.decode(headers, orjson.dumps(record["value"]))


def test_golden_files_are_always_kept() -> None:
    """A released record may be in somebody's log: add files here, never change or remove one."""
    listed: dict[str, str] = {}
    for line in SUMS.read_text().splitlines():
        digest, name = line.split("  ")
        listed[name] = digest

    present = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in GOLDEN.iterdir()
        if path != SUMS
    }

    assert present == listed


@pytest.mark.parametrize("kind", sorted(request.KINDS))
def test_every_older_version_has_a_way_to_the_newest(kind: str) -> None:
    for version in range(1, request.newest_of(kind)):
        before = golden(f"request.{kind}.v{version}").data
        kept = copy.deepcopy(before)

        after = upcast(kind, version, request.newest_of(kind), before)

        assert before == kept, "the step modified what it was given"
        assert {**after, **before} == after, "the step lost something"


def test_no_step_leads_nowhere() -> None:
    assert all(version < request.newest_of(kind) for kind, version in UPCASTS)
    assert {kind for kind, _ in UPCASTS} <= request.KINDS


@pytest.mark.parametrize("kind", sorted(request.CONDITIONAL_KINDS))
def test_what_was_written_without_a_condition_is_applied_without_one(kind: str) -> None:
    assert request.from_event(golden(f"request.{kind}.v1")).precondition is None
    assert request.from_event(golden(f"request.{kind}.v2")).precondition is not None


def test_only_an_older_version_may_be_without_a_condition() -> None:
    event = golden("request.member.delete.v2")
    data = {**event.data, "precondition": None}
    without = envelope.Event(
        event.id, event.type, event.source, event.subject, event.time, data, event.extensions
    )

    with pytest.raises(MalformedEvent):
        request.from_event(without)


def test_a_topic_of_version_1_leads_to_what_it_led_to() -> None:
    """Recorded with the release that wrote version 1; every kind, both profiles, copies, late ones.

    A difference here is a directory that a rebuild would make otherwise than it was.
    """
    assert fold_recorded.fold(RECORDED) == FOLDED.read_bytes()


def test_external_ids_that_met_under_rules_1_are_refused_as_they_were() -> None:
    """Recorded and decided by the release before `externalId` could be shared: its 409s stay."""
    expected = EXTERNAL_IDS.with_suffix(".folded").read_bytes()
    decisions = orjson.loads(expected)["decisions"]
    about = [
        detail.get("attribute")
        for decision in decisions
        for _, data in decision["outcomes"]
        for detail in [data.get("detail", {})]
    ]

    assert about.count("externalId") > 40
    assert {each.rules for each, _ in fold_recorded.read(EXTERNAL_IDS)} == {1}
    assert fold_recorded.fold(EXTERNAL_IDS) == expected


def test_the_recorded_topic_has_every_kind_that_changes_a_directory() -> None:
    kinds = {each.kind for each, _ in fold_recorded.read(RECORDED)}
    versions = set(re.findall(r"\.v(\d+)\"", RECORDED.read_text(encoding="utf-8")))

    later = {"member.erase", "organisation.delete"}
    assert kinds == {kind for kind in request.KINDS - later if not kind.startswith("dead.")}
    assert versions == {"1"}


@pytest.mark.parametrize("seed", ["0", "1", "42", "4294967295"])
def test_the_seed_of_hashes_changes_no_byte(seed: str) -> None:
    assert fold_under(sys.executable, PYTHONHASHSEED=seed) == FOLDED.read_bytes()


@pytest.mark.long
def test_another_python_gives_the_same_bytes(tmp_path: Path) -> None:
    found = other_pythons()
    if not found:
        pytest.skip("no Python but this one is installed here")
    for version, python in found.items():
        libraries = tmp_path / version
        if not install(python, libraries):
            pytest.skip(f"no libraries for Python {version}: the package index is not reachable")
        folded = fold_under(python, PYTHONPATH=f"{ROOT / 'shared'}{os.pathsep}{libraries}")

        assert folded == FOLDED.read_bytes(), version


def fold_under(python: str, **variables: str) -> bytes:
    """The recorded log folded in a process of its own."""
    done = subprocess.run(
        [python, "-m", "tests.support.fold_recorded", str(RECORDED)],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def other_pythons() -> dict[str, str]:
    """Version → interpreter, of those on the path, or of pyenv, that this code may run under."""
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    places = [*map(str, root.glob("versions/*/bin")), os.environ.get("PATH", "")]
    found = {}
    for minor in range(11, 20):
        version = f"3.{minor}"
        path = shutil.which(f"python{version}", path=os.pathsep.join(places))
        if version == mine or path is None:
            continue
        shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if shown.returncode == 0:  # a version manager's stub may have nothing behind it
            found[version] = path
    return found


def install(python: str, folder: Path) -> bool:
    """Put the core's libraries, in our versions, where that Python finds them."""
    pins = [
        line.split()[0]
        for line in (ROOT / "requirements" / "run.txt").read_text().splitlines()
        if line.split("==")[0] in LIBRARIES
    ]
    assert len(pins) == len(LIBRARIES)
    command = [python, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    return subprocess.run([*command, *pins], capture_output=True, check=False).returncode == 0


def test_a_kind_without_a_step_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        upcast("member.create", 1, 2, {})
