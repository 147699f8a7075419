"""Rollcall beside other SCIM servers (`make bench`, `make bench-quick`).

    python -m benchmarks.side_by_side [--rounds 5] [--seconds 6] [--quick] [--write]

Installs the peers by hash, starts them and a Rollcall of its own, and lets each do each work in
turns. `--write` replaces the tables of docs/benchmarks.md and its plot. The exit status is 1 where
a floor is missed or an answer failed.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence

import uvloop

from benchmarks.deployment import deployed
from benchmarks.side_by_side import peers, report, scaling, storm
from benchmarks.side_by_side.goals import judge
from benchmarks.side_by_side.rounds import Server, play
from benchmarks.side_by_side.works import Target, Work

WORKS = (
    Work("create", 1),
    Work("create", 10),
    Work("create", 50),
    Work("create", 200),
    Work("get", 10),
    Work("filter", 10),
    Work("revoke", 10),
)
OURS = "Rollcall"
DOORS = 1


async def measure(args: argparse.Namespace) -> report.Results:
    """Everything of one run."""
    async with deployed(DOORS) as at:
        with contextlib.ExitStack() as stack:
            others = [stack.enter_context(start()) for start in (peers.scimmy, peers.scim2_server)]
            organisation = await at.stack.organisation("Beside others")
            servers = [
                Server(OURS, Target(organisation.base, organisation.key), at.cpu),
                *(
                    Server(each.name, Target(each.base, each.key), each.cpu, each.most_clients)
                    for each in others
                ),
            ]
            if not args.cold:
                await play(servers, WORKS[1:2], rounds=1, seconds=args.seconds / 2, revocations=0)
                print()
            samples = await play(
                servers,
                [work for work in WORKS if not args.only or work.kind in args.only.split(",")],
                rounds=args.rounds,
                seconds=args.seconds,
                revocations=int(args.seconds * 700),
            )
            names = [each.name for each in servers]
            judged = judge(samples, OURS, names[1:])
            storms: Sequence[storm.Storm] = []
            if args.storm:
                # Two doors, as every deployment has; a peer is one process.
                await at.stack.start("ingress")
                storms = [
                    await storm.at_rollcall(at, OURS, args.storm, 200),
                    *[
                        await storm.at_peer(each, args.storm, 200)
                        for each in others
                        if each.most_clients >= 200
                    ],
                ]
                print(*storms, sep="\n")
    scaled = [] if args.quick else await scaling.play(args.seconds)
    command = "make bench-quick" if args.quick else "make bench"
    how = f"`{command}`: {args.rounds} rounds of {args.seconds:g} s each"
    return report.Results(names, samples, judged, storms, scaled, how)


def main() -> None:
    """Install, measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each work in each round")
    parser.add_argument("--storm", type=int, default=20_000, help="creates of the burst")
    parser.add_argument("--only", help="kinds of work, with commas between")
    parser.add_argument("--cold", action="store_true", help="without a round that warms up")
    parser.add_argument("--quick", action="store_true", help="one round, no storm, no scaling")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.storm, args.seconds = 1, 0, min(args.seconds, 4.0)
    try:
        peers.install()
    except peers.PeerMissing as missing:
        sys.exit(str(missing))
    results = uvloop.run(measure(args))
    print("\n" + report.text(results))
    if args.write:
        report.write(results)
    raise SystemExit(_status(results))


def _status(results: report.Results) -> int:
    missed = [each for each in results.judged if each.verdict == "missed"]
    failed: Sequence[object] = [
        sample
        for by_server in results.samples.found.values()
        for sample in by_server[OURS]
        if sample.failed
    ]
    for each in missed:
        print(f"MISSED  {each.goal.work}: {each.reached:.2f}×, floor {each.goal.floor:g}×")
    return 1 if missed or failed or any(each.failed for each in results.storms[:1]) else 0


if __name__ == "__main__":
    main()
