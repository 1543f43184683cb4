"""`innkeeper dev`: one directory with a `container.yaml`, built and tested on a real container on this machine."""

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from innkeeper.cli.options import Format, Output

if TYPE_CHECKING:
    from innkeeper.cli.devbox import Wanted
    from innkeeper.cli.simulation import Simulation
    from innkeeper.engine.ports import Event
    from innkeeper.engine.result import Result
    from innkeeper.manifests.loading import Loaded

_LOOK_SECONDS = 0.5
_HEALTHY_SECONDS = 120.0


def dev(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Holds container.yaml, and roles beside it.")],
    once: Annotated[bool, typer.Option("--once", help="Create, configure, check, destroy, and end.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the container running at the end.")] = False,
    ports: Annotated[
        list[str] | None,
        typer.Option("-p", "--port", metavar="HERE:THERE", help="A port of this machine for one of its. Repeatable."),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=1, help="How long it may take to become healthy.")
    ] = _HEALTHY_SECONDS,
    output: Output = Format.text,
) -> None:
    """Build and test one container on this machine. Creates, configures and checks it, again whenever a file changes.

    \b
    Examples:
      innkeeper dev containers/web -p 8080:80
      innkeeper dev containers/web --once -o json

    Needs root and lxc; `pvesim doctor` says what is missing. Ctrl-C ends it and destroys the container.
    """
    from innkeeper.cli.devbox import manifest_file

    file = manifest_file(directory)
    forwards = [_forward(text) for text in ports or ()]
    with _place(keep) as place:
        ok = asyncio.run(_Session(file, place, forwards, once, keep, wait, output).run())
    raise typer.Exit(0 if ok else 1)


def _forward(text: str) -> tuple[int, int]:
    here, _, there = text.rpartition(":")
    if here.isdigit() and there.isdigit() and max(int(here), int(there)) < 65536:
        return int(here), int(there)
    raise typer.BadParameter(f"{text} is not a pair of ports such as 8080:80", param_hint="-p")


@contextmanager
def _place(keep: bool) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="innkeeper-dev-"))
    try:
        yield place
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


@dataclass(slots=True)
class _Clock:
    """When a step entered each of its phases; `steps` are those that took place, with how long they took."""

    since: float = field(default_factory=time.monotonic)
    current: str = "create"
    steps: list[dict[str, object]] = field(default_factory=list)

    def enter(self, name: str) -> None:
        if name != self.current:
            self.leave()
            self.current, self.since = name, time.monotonic()

    def leave(self, detail: str = "") -> None:
        if self.current:
            took = round(time.monotonic() - self.since, 1)
            self.steps.append({"name": self.current, "ok": not detail, "seconds": took, "detail": detail})
        self.current, self.since = "", time.monotonic()


@dataclass(slots=True)
class _Session:
    """One `innkeeper dev` from start to end. `place` is a directory of its own."""

    file: Path
    place: Path
    forwards: Sequence[tuple[int, int]]
    once: bool
    keep: bool
    wait: float
    output: Format
    clock: _Clock = field(default_factory=_Clock)
    stopped: bool = False
    net: str = field(default_factory=lambda: f"10.{200 + secrets.randbelow(50)}.{1 + secrets.randbelow(250)}")

    async def run(self) -> bool:
        from innkeeper.cli import devbox
        from innkeeper.cli.output import print_json

        found = devbox.wanted(self.file)
        seed = self.place / "seed.yaml"
        seed.write_text(devbox.seed(found), encoding="utf-8")
        async with self._simulated(seed, *devbox.recipe(found.template)) as simulated:
            os.environ["PVE_TOKEN_SECRET"] = simulated.secret
            report, address = await self._round(found, simulated)
            if not self.once and not self.stopped:
                report = await self._serve(found, simulated, report, address)
            if not self.keep:
                self.clock.enter("destroy")
        self.clock.leave()
        report["steps"] = self.clock.steps
        if self.output is Format.json:
            print_json(report)
        elif self.keep:
            typer.echo(f"The container is left running at {address}; kill {simulated.pid} destroys it.")
        return report["health"] == "Healthy"

    @asynccontextmanager
    async def _simulated(self, seed: Path, template: str, fat: bool) -> AsyncIterator["Simulation"]:
        from innkeeper.cli import simulation

        self._say(f"A cluster for {self.file}: real containers on this machine, template {template}.")
        await asyncio.to_thread(simulation.built, template, fat=fat)
        words = ("--backend", "lxc")
        if self.keep:
            yield await asyncio.to_thread(simulation.detached, seed, *words)
            return
        with simulation.simulation(seed, *words) as simulated:
            yield simulated

    async def _round(self, found: "Wanted", simulated: "Simulation") -> tuple[dict[str, object], str | None]:
        """Create or change the container, configure and check it: what is to be reported, and its address."""
        from innkeeper.cli import devbox
        from innkeeper.cli.output import console, show_findings
        from innkeeper.model.diagnostics import has_errors

        cluster = devbox.cluster_file(self.place, found, simulated)
        loaded = devbox.loaded(self.file, cluster, f"{self.net}.2/24", f"{self.net}.1")
        findings = [item for item in loaded.diagnostics if item.severity != "info"]
        if has_errors(loaded.diagnostics):
            show_findings(console(stderr=True), findings)
            name = loaded.declared.guests[0].ref.name if loaded.declared.guests else None
            return {"guest": name, "address": None, "health": "Unknown", "checks": [], "steps": []}, None
        return await self._apply(loaded)

    async def _apply(self, loaded: "Loaded") -> tuple[dict[str, object], str | None]:
        from innkeeper import runtime
        from innkeeper.cli.interrupt import safe_stop
        from innkeeper.cli.output import console, show_findings
        from innkeeper.cli.progress import progress
        from innkeeper.engine.reconcile import carry_out
        from innkeeper.planner.policy import Policy

        declared = loaded.declared
        allowed = Policy(source="dev", replace=frozenset({declared.guests[0].ref.name}))
        async with (
            runtime.connected(declared.clusters) as clusters,
            runtime.working_inside(declared, self.place / "data") as insider,
        ):
            prepared = await runtime.plan(replace(loaded, diagnostics=()), clusters, allowed, insider)
            show_findings(console(stderr=True), prepared.plan.diagnostics)
            quiet = self.output is Format.json
            with progress(console(), prepared.plan, quiet=quiet) as shown, safe_stop(shown.say) as stop:

                def listen(event: "Event") -> None:
                    self._note(event)
                    shown.listen(event)

                result = await carry_out(prepared, clusters, listen, stop, healthy=self.wait, builder=runtime.built)
                self.stopped = stop.is_set()
            address = await runtime.address_of(prepared, clusters)
        return self._report(result, address), address

    def _note(self, event: "Event") -> None:
        if event.phase == "configuring":
            self.clock.enter("configure")
        elif event.phase == "done":
            self.clock.leave()
            self.clock.current = "check"

    def _report(self, result: "Result", address: str | None) -> dict[str, object]:
        from innkeeper.model.diagnostics import has_errors

        item = result.results[0] if result.results else None
        trouble = item.error if item is not None else "nothing could be planned"
        broken = item is None or item.state != "done" or has_errors(result.plan.diagnostics)
        if broken and not trouble:
            trouble = "; ".join(found.summary for found in result.plan.diagnostics if found.severity == "error")
        self.clock.leave(trouble)
        checks = [check.to_json() for check in item.checks] if item is not None else []
        health = "Degraded" if broken else "Healthy"
        if self.output is not Format.json:
            for check in checks:
                typer.echo(f"{'✓' if check['ok'] else '✗'} {check['name']}: {check['detail']}")
            typer.echo(f"{health}{f' at {address}' if address else ''}{f': {trouble}' if trouble else ''}")
        name = item.step.ref.name if item is not None else None
        return {"guest": name, "address": address, "health": health, "checks": checks, "steps": []}

    async def _serve(
        self, found: "Wanted", simulated: "Simulation", report: dict[str, object], address: str | None
    ) -> dict[str, object]:
        """Forward ports, and go round again whenever a file changes, until Ctrl-C. Returns the last round's report."""
        from innkeeper.cli import devbox
        from innkeeper.cli.forwarding import forwarded
        from innkeeper.cli.interrupt import safe_stop
        from innkeeper.engine.errors import EngineError

        async with forwarded(self.forwards, address) as to:
            for here, there in self.forwards:
                self._say(f"http://127.0.0.1:{here} is port {there} of the container.")
            self._say("Waiting for changes; Ctrl-C ends it.")
            seen = devbox.state(self.file.parent)
            while not self.stopped:
                with safe_stop(lambda text: None) as stop:
                    while not stop.is_set() and (now := await _settled(self.file.parent, seen)) == seen:
                        pass
                    if stop.is_set():
                        return report
                seen = now
                self.clock = _Clock()
                try:
                    report, address = await self._round(found, simulated)
                    to.address = address or to.address  # a slip in the manifest takes nothing away
                except EngineError as error:
                    typer.echo(f"error: {error}", err=True)
        return report

    def _say(self, text: str) -> None:
        if self.output is not Format.json:
            typer.echo(text)


async def _settled(directory: Path, seen: str) -> str:
    """The state of the files once they stopped changing, at the next look."""
    from innkeeper.cli.devbox import state

    await asyncio.sleep(_LOOK_SECONDS)
    now = await asyncio.to_thread(state, directory)
    while now != seen:
        await asyncio.sleep(_LOOK_SECONDS)
        following = await asyncio.to_thread(state, directory)
        if following == now:
            break
        now = following
    return now
