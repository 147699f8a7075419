"""Chaos by hand: `python -m tests.chaos`, with `--help` for its options.

Plays `runs` seeds from `seed` on, each on a deployment of its own over one broker and one Postgres.
Prints a line a seed; at the first that has a violation, also what is known about it. Exit status 1
if any has.
"""

import argparse
import asyncio
import random
import sys
from pathlib import Path
from typing import get_args

from tests.chaos.plan import Scene
from tests.chaos.play import arena, play


def main() -> None:
    """Play the seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--scene", choices=get_args(Scene), default="everything")
    parser.add_argument("--logs", type=Path, help="keep the logs of every process in this folder")
    given = parser.parse_args()
    has_failed = False
    for seed in range(given.seed, given.seed + given.runs):
        # Servers of their own for each seed: what one run has done to them is no other's matter.
        with arena() as at:
            played = asyncio.run(
                play(seed, given.minutes * 60, at, scene=given.scene, logs=given.logs)
            )
        print(played, flush=True)
        if given.logs is not None:
            print(played.faults(), flush=True)
        if played.violations:
            print(played.tell(), flush=True)
            has_failed = True
    sys.exit(1 if has_failed else 0)


if __name__ == "__main__":
    main()
