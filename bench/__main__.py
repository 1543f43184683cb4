"""Runs every measurement and writes docs/benchmarks.md: `python -m bench [--sizes 100,1000]`."""

import argparse
import json
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import ansible, inside, operator, server
from bench.measure import Run, run
from bench.world import Sim, declare, environment, populated, simulator

ROOT = Path(__file__).resolve().parent.parent
INNKEEPER = Path(sys.executable).parent / "innkeeper"
PAGE = ROOT / "docs" / "benchmarks.md"
MiB = 1 << 20
SOURCE = ("--source", "bench")
COMPARED = 1000
"""At this many guests Innkeeper stands beside the alternatives."""


def best(runs: list[Run]) -> Run:
    return min(runs, key=lambda item: item.seconds)


def made_by_innkeeper(place: Path) -> dict[str, object]:
    """The configuration of the first declared guest as Innkeeper creates it."""
    with simulator(place / "first") as sim:
        run([INNKEEPER, "apply", declare(place / "guests-1", sim, 1), *SOURCE, "--yes"])
        command = ["-m", "bench.floor", "--show", sim.cafile, *(f"{name}={url}" for name, url in sim.urls.items())]
        shown: dict[str, object] = json.loads(run([sys.executable, *command]).output)
        return shown


def plan_beside_floor(manifests: Path, sim: Sim, size: int, repeats: int) -> tuple[str, float]:
    """A row of the no-op table, and the seconds of the plan per guest."""
    floors, plans = [], []
    for _ in range(repeats):
        nodes = [f"{name}={url}" for name, url in sim.urls.items()]
        floors.append(run([sys.executable, "-m", "bench.floor", sim.cafile, *nodes]))
        plans.append(run([INNKEEPER, "plan", manifests, *SOURCE, "-o", "json"]))
    plan, floor = best(plans), best(floors)
    said = json.loads(plan.output)
    if said["summary"]["noop"] != size or said["calls"]["write"]:
        sys.exit(f"not a no-op plan: {said['summary']}")
    if said["calls"]["read"] > 1 + size + 10:
        sys.exit(f"{said['calls']['read']} reads for {size} guests")
    row = (
        f"| {size:,} | {plan.seconds:.2f} | {floor.seconds:.2f} | {plan.seconds / floor.seconds:.2f} × "
        f"| {said['calls']['read']:,} | {int(floor.output):,} | {plan.peak / MiB:.0f} | {floor.peak / MiB:.0f} |"
    )
    print(row, flush=True)
    return row, plan.seconds / size


def creates(place: Path, count: int) -> str:
    with simulator(place / "real", speed="real") as sim:
        manifests = declare(place / "creates", sim, count)
        done = run([INNKEEPER, "apply", manifests, *SOURCE, "--yes", "-o", "json", "--parallel", "16"])
        results = [step["result"] for step in json.loads(done.output)["steps"]]
        failed = sum(1 for line in sim.log.open() if json.loads(line)["status"] >= 500)
    row = f"| {count} | {done.seconds:.1f} | {results.count('done')} | {failed} |"
    print(row, flush=True)
    return row


def quiet_poll(manifests: Path, sim: Sim, polls: int = 4) -> float:
    """Calls per poll that finds nothing changed, watched for a while after the first look."""
    command = [str(part) for part in (INNKEEPER, "status", manifests, *SOURCE, "--watch", "--interval", "0.5")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()) as watch:
        before = sim.settled()
        sim.await_calls(before + polls)
        watch.send_signal(signal.SIGINT)
    new = [json.loads(line) for line in sim.log.read_text().splitlines()[before : before + polls]]
    quiet = sum(call["path"].endswith("/cluster/resources") for call in new)
    return len(new) / quiet if quiet else float("nan")


def start_up(repeats: int = 15) -> tuple[float, float]:
    bare = statistics.median(run([sys.executable, "-c", "pass"]).seconds for _ in range(repeats))
    shown = statistics.median(run([INNKEEPER, "--help"]).seconds for _ in range(repeats))
    return bare, shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=PAGE)
    parser.add_argument("--outside", action="store_true", help="all but inside of containers, server and operator")
    parser.add_argument("--inside", action="store_true", help="only the section about the inside of real containers")
    parser.add_argument(
        "--server",
        nargs="?",
        const="all",
        choices=("all", *server.PARTS),
        help="only the section about the server, or print a half",
    )
    parser.add_argument("--operator", action="store_true", help="only the section about the Kubernetes operator")
    options = parser.parse_args()
    every = not (options.outside or options.inside or options.operator or options.server)
    if options.server in server.PARTS:
        print(half(options.server))
        return
    page = options.output.read_text() if options.output.exists() else "# Benchmarks\n"
    if every or options.outside:
        page = outside(options) + kept(page)
    with tempfile.TemporaryDirectory(prefix="innkeeper-bench-") as name:
        place = Path(name)
        if every or options.inside:
            page = with_inside(page, place, options.repeats)
        if every or options.server:
            own = server.section(place / "server", made_by_innkeeper(place))
            page = inside.merged(page, own, server.HEADING)
        if every or options.operator:
            page = with_operator(page, place)
    options.output.write_text(page)
    print(f"written: {options.output}")


def half(part: str) -> str:
    """One half of the section about the server."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-bench-") as name:
        place = Path(name)
        return server.small(place) if part == "small" else server.large(place, made_by_innkeeper(place))


def kept(page: str) -> str:
    """The sections that are measured by themselves, as they stand."""
    parts = page.split("\n## ")[1:]
    headings = (inside.HEADING, server.HEADING, operator.HEADING)
    return "".join(f"\n## {part.rstrip()}\n" for part in parts if f"## {part}".startswith(headings))


def with_inside(page: str, place: Path, repeats: int) -> str:
    if lacking := inside.lacking():
        print(f"without the inside of real containers, which needs:\n{lacking}")
        return page
    return inside.merged(page, inside.section(place / "inside", repeats))


def with_operator(page: str, place: Path) -> str:
    if lacking := operator.lacking():
        print(f"without the Kubernetes operator, which needs: {lacking}")
        return page
    return inside.merged(page, operator.section(place / "operator"), operator.HEADING)


def outside(options: argparse.Namespace) -> str:
    """The page without the section about the inside of guests."""
    sizes = [int(size) for size in options.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="innkeeper-bench-") as name:
        place = Path(name)
        bare, shown = start_up()
        first = made_by_innkeeper(place)
        rows: list[str] = []
        for size in sizes:
            with simulator(place / f"sim-{size}", seed=populated(first, size)) as sim:
                manifests = declare(place / f"guests-{size}", sim, size)
                row, seconds = plan_beside_floor(manifests, sim, size, options.repeats if size <= COMPARED else 1)
                rows.append(row)
                if size == min(sizes, key=lambda item: abs(item - COMPARED)):
                    per_guest = seconds
                    peer = ansible.unchanged(place, sim, 20)
                    poll = quiet_poll(manifests, sim)
        created = creates(place, 100)
    return PAGE_TEXT.format(
        python=platform.python_version(),
        rows="\n".join(rows),
        created=created,
        peer=peer.seconds / 20,
        own=per_guest,
        ratio=peer.seconds / 20 / per_guest,
        poll=poll,
        bare=bare,
        shown=shown,
        start=shown - bare,
    )


PAGE_TEXT = """# Benchmarks
Written by `make bench`: the figures of a section come from one run, on 2 shared cores with Python {python}.
The simulator shares those cores with what is measured. Times are wall seconds of a whole process, from start to exit;
ratios are what carries over.

## A plan that finds nothing to do
`innkeeper plan` reads the manifests (a file a guest), the list of guests and each guest's configuration. Beside it the
floor: a bare `httpx2` loop that does only those reads, four at once per node, without manifests or comparison.

| guests | plan, s | floor, s | plan ÷ floor | calls | calls of the floor | peak MiB | peak MiB of the floor |
|---:|---:|---:|---:|---:|---:|---:|---:|
{rows}

A poll that finds nothing changed costs {poll:.0f} call.

## Beside community.proxmox
The module `community.proxmox.proxmox` keeping 20 unchanged containers as they are takes {peer:.3f} s a guest;
`innkeeper plan` takes {own:.5f} s a guest at 1,000: {ratio:.0f} times less.

## Creating with real durations
`pvesim --speed real` gives tasks their duration and locks their timeouts; 16 steps at once on two nodes.

| guests | seconds | done | answers of 500 and above |
|---:|---:|---:|---:|
{created}

## Start
`python -c pass` takes {bare:.3f} s, `innkeeper --help` {shown:.3f} s: {start:.3f} s more.
"""


if __name__ == "__main__":
    main()
