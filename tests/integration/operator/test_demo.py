"""The demo, small: what `make demo` runs, on a stack of its own, to its end."""

import subprocess
import sys
from pathlib import Path

import pytest

ROLLCALL = Path(sys.executable).with_name("rollcall")


@pytest.mark.timeout(180)
def test_the_demo_ends_by_itself_with_every_expectation_held(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROLLCALL, "demo", "--joiners", "60", "--leavers", "10", "--absorbed", "40"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "expectations held" in done.stdout
    assert "\x1b" not in done.stdout, "no terminal, so plain lines"
    for row in ("Entra conversation", "Okta conversation", "burst, provisioner stopped"):
        assert row in done.stdout
    live = [line for line in done.stdout.splitlines() if " lag " in line and "answered" in line]
    assert len(live) > 5, "a burst is told while it lasts"
    assert any("#" in line for line in live), "and what waits is seen"
    assert live[-1].split("lag")[1].split() == ["0"], "until nothing waits"
