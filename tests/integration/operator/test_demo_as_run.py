"""The demo as `make demo` runs it, also with two replicas of what scales."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROLLCALL = Path(sys.executable).with_name("rollcall")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("replicas", ["", "ingress=2,provisioner=2"])
def test_the_whole_demo_holds(replicas: str, tmp_path: Path) -> None:
    if replicas:
        subprocess.run(
            [ROLLCALL, "up", "--detach", "--data", tmp_path, "--replicas", replicas],
            env={**os.environ, "ROLLCALL_NOTIFIER_INVITATION_GRACE_S": "0"},
            check=True,
            timeout=120,
        )
    try:
        done = subprocess.run(
            [ROLLCALL, "demo", "--data", tmp_path],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    finally:
        if replicas:
            subprocess.run([ROLLCALL, "down", "--remove", "--data", tmp_path], check=True)

    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
