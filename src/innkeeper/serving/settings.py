"""What a server was told: the manifests of its `--config`, its data directory, its database."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from innkeeper.engine.errors import Stalled
from innkeeper.manifests.loading import load
from innkeeper.model.diagnostics import Location
from innkeeper.model.objects import Cluster, Origin, SecretSource
from innkeeper.model.server import Server, ServerSpec
from innkeeper.model.sources import Source, SourceSpec
from innkeeper.secretsource import read_secret

PORTAL = "portal"
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """`directory` is what paths of secret files are relative to. `database` is a URL, or empty: SQLite in `data`."""

    data: Path
    database: str
    directory: Path
    environ: Mapping[str, str]
    server: ServerSpec
    clusters: Mapping[str, Cluster]
    sources: Mapping[str, Source]

    def secret(self, source: SecretSource, what: str = "a secret") -> SecretStr:
        return read_secret(source, self.directory, self.environ, what)


def read_settings(data: Path, config: Path | None, database: str, environ: Mapping[str, str]) -> Settings:
    """Stalled where the configuration has errors: a server that guesses would change guests by guess."""
    data = data.resolve()
    clusters: tuple[Cluster, ...] = ()
    sources: tuple[Source, ...] = ()
    servers: tuple[Server, ...] = ()
    directory = data
    if config is not None:
        loaded = load([config])
        if not loaded.ok:
            errors = [item for item in loaded.diagnostics if item.severity == "error"]
            lines = [f"{item.location or config}: {item.summary}. {item.detail}".strip() for item in errors[:_SHOWN]]
            raise Stalled(f"the configuration has {len(errors)} errors:\n  " + "\n  ".join(lines))
        clusters, sources, servers = loaded.declared.clusters, loaded.sources, loaded.servers
        directory = config if config.is_dir() else config.parent
        if loaded.declared.guests:
            first = loaded.declared.guests[0]
            raise Stalled(
                f"{first.origin.location}: the configuration declares a guest ({first.ref})",
                "guests belong in a source's repository",
            )
    if len(servers) > 1:
        raise Stalled(f"{servers[1].origin.location}: a second Server is declared", "keep one")
    by_name = {item.name: item for item in sources} or {PORTAL: _portal(data)}
    known = {item.name: item for item in clusters}
    for item in by_name.values():
        if strangers := sorted(set(item.spec.clusters or ()) - known.keys()):
            place = item.origin.at("spec.clusters")
            raise Stalled(
                f"{place}: there is no cluster {', '.join(strangers)}",
                f"clusters: {', '.join(sorted(known)) or 'none'}",
            )
    spec = servers[0].spec if servers else ServerSpec()
    return Settings(data, database, directory.resolve(), environ, spec, known, by_name)


def own_repository(data: Path, name: str) -> Path:
    """Where a repository is that Innkeeper keeps itself."""
    return data / "repositories" / f"{name}.git"


def _portal(data: Path) -> Source:
    """The source of those who have none yet: forms write to it."""
    spec = SourceSpec(url=str(own_repository(data, PORTAL)), write="guests", prune=True)
    return Source(PORTAL, spec, Origin(Location("")))
