"""`Insides`: the one implementation of the engine's `Insider`, over SSH and Ansible."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from innkeeper.configure import ansible, presence, python
from innkeeper.configure.bounds import Bounds
from innkeeper.configure.cookbooks import as_roles
from innkeeper.configure.gitremote import Remotes
from innkeeper.configure.health import Health
from innkeeper.configure.inventory import host_name
from innkeeper.configure.keep import Keep, data_directory
from innkeeper.configure.preparation import prepared, wanted
from innkeeper.configure.reach import Reach
from innkeeper.configure.routes import alias, route
from innkeeper.configure.scrub import Scrubber
from innkeeper.configure.secrets.references import filled
from innkeeper.configure.secrets.stores import Missing, SecretReader, Secrets
from innkeeper.configure.together import Together
from innkeeper.engine.errors import EngineError, Stalled
from innkeeper.engine.inside import CheckResult, Inside, Readiness, Target, Tell
from innkeeper.model.inside import SecretRef
from innkeeper.model.objects import Ref

_CHECK_PATIENCE = 5.0
"""How many seconds a health check waits for SSH: a guest that is well answers at once."""

_ANSIBLE_PER_CORE = 3
"""Ansible mostly waits for its guest; more at once only makes each of them slower."""


class Insides:
    """Implements `innkeeper.engine.inside.Insider`. Nothing is read or opened before it is needed."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        data: Path | None = None,
        bounds: Bounds | None = None,
        *,
        foreign: bool = False,
        secrets: SecretReader | None = None,
        at_once: int | None = None,
    ) -> None:
        """`data` is Innkeeper's data directory (None: XDG's). `foreign`: see Remotes.

        `secrets` gives what roles refer to (None: the stores that manifests declare). `at_once` bounds how many
        Ansibles run (None: as many as the machine has processors for).
        """
        self._foreign = foreign
        self._reader = secrets
        self._environ = os.environ if environ is None else environ
        self._keep = Keep(data or data_directory(self._environ))
        self._bounds = bounds or Bounds()
        self._items: dict[Ref, Inside] = {}
        self._secrets: dict[Ref, Mapping[SecretRef, object]] = {}
        self._together = Together(at_once or _ANSIBLE_PER_CORE * (os.cpu_count() or 1))

    async def prepare(self, items: Sequence[Inside]) -> Readiness:
        """See Insider.prepare. A guest that something is missing for has a diagnostic and no fingerprint."""
        seen = self._keep.directory / "git_known_hosts"
        remotes = Remotes(self._environ, seen, foreign=self._foreign)
        found = await prepared(items, self._reader or Secrets(self._environ), remotes, self._keep.pepper)
        self._items |= {item.ref: item for item in items}
        self._secrets |= {ref: one.secrets for ref, one in found.items()}
        return Readiness(
            fingerprints={ref: one.fingerprint for ref, one in found.items() if one.fingerprint is not None},
            diagnostics=tuple(finding for one in found.values() for finding in one.diagnostics),
            commits={ref: " ".join(one.commits) for ref, one in found.items() if one.commits},
        )

    def authorized_keys(self, cluster: str) -> tuple[str, ...]:
        return (self._keep.public_key(cluster),)

    def forget(self, cluster: str, vmid: int) -> None:
        """See Insider.forget."""
        self._keep.forget_host_key(cluster, alias(vmid))

    async def configure(self, item: Inside, target: Target, tell: Tell) -> None:
        """See Insider.configure."""
        who = _who(item, target)
        self._items[item.ref] = item
        secrets = await asyncio.to_thread(self._resolved, item, who)
        item = await asyncio.to_thread(as_roles, item)
        way = route(target, item.user, self._keep, who)
        lock = self._keep.lock(target.cluster.name, f"guest-{target.vmid}")
        try:
            tell("waiting for the guest to answer")
            with self._together.expected(item) as joined:
                async with Reach(self._keep, target.cluster.name, self._bounds).enter(way, who) as entered:
                    if not item.roles:
                        return
                    await python.provide(entered, who, tell, root=item.user == "root" or bool(way.pct))
                values = [filled(call.variables, secrets.__getitem__) for call in item.roles]
                part = ansible.Run(
                    item=item,
                    who=who,
                    others=[other for other in self._items.values() if other.cluster == item.cluster],
                    way=way,
                    values=cast(list[Mapping[str, object]], values),
                    facts=_facts(item, target, self._keep),
                    lock=lock,
                    seconds=self._bounds.configure,
                    tell=tell,
                    scrub=Scrubber(secrets.values()),
                    ended=asyncio.get_running_loop().create_future(),
                )
                await joined(part)
        finally:
            os.close(lock)

    async def check(self, item: Inside, target: Target) -> tuple[CheckResult, ...]:
        """See Insider.check. A guest that cannot be reached fails its checks; nothing is raised."""
        who = _who(item, target)
        try:
            way = route(target, item.user, self._keep, who)
        except EngineError as error:
            return tuple(CheckResult(check.title, False, str(error)) for check in item.health)
        enter = Reach(self._keep, target.cluster.name, self._bounds).enter(way, who, _CHECK_PATIENCE)
        scrub = Scrubber(self._secrets.get(item.ref, {}).values())
        root = item.user == "root" or bool(way.pct)
        health = Health(target.address, enter, scrub, root=root, tunnelled=way.jump is not None)
        return await health.results(item.health)

    async def answering(self, addresses: Sequence[str]) -> frozenset[str]:
        """See Insider.answering."""
        return await presence.answering(addresses)

    async def close(self) -> None:
        await self._together.close()
        self._secrets.clear()

    def _resolved(self, item: Inside, who: str) -> Mapping[SecretRef, object]:
        """The guest's secrets as they are now; Stalled names all that are missing."""
        stores, found, missing = self._reader or Secrets(self._environ), dict[SecretRef, object](), list[str]()
        for _, ref in wanted(item):
            try:
                found[ref] = stores.get(ref, item.stores, Path(item.origin.directory))
            except Missing as problem:
                missing.append(f"{ref.name}/{ref.key} ({problem.place})")
        if missing:
            raise Stalled(f"{who}: secrets are missing: {', '.join(dict.fromkeys(missing))}", "put them there")
        self._secrets[item.ref] = found
        return found


def _who(item: Inside, target: Target) -> str:
    return f"{item.ref} (guest {target.vmid} on {target.node})"


def _facts(item: Inside, target: Target, keep: Keep) -> Mapping[str, object]:
    """The variables of the guest's own that roles may use, and those that Ansible needs.

    `innkeeper_keys` is where our own keys are, here: the role that installs a server hands them on.
    """
    return {
        "ansible_host": target.address or host_name(item),
        "ansible_python_interpreter": python.INTERPRETER,
        "innkeeper_vmid": target.vmid,
        "innkeeper_node": target.node,
        "innkeeper_hostname": item.hostname,
        "innkeeper_keys": str(keep.directory.absolute()),
    }
