"""Which forge a source lives on, where its API is, and who we are there."""

from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import SecretStr

from innkeeper.control.ports import Forge
from innkeeper.engine.errors import Stalled
from innkeeper.forge.calls import Calls
from innkeeper.forge.github import GitHub
from innkeeper.forge.gitlab import GitLab
from innkeeper.model.objects import SecretSource
from innkeeper.model.sources import ForgeSpec, Source

_GITHUB = "https://api.github.com"
_JSON = {"Accept": "application/json"}


def forge_of(source: Source, read: Callable[[SecretSource], SecretStr]) -> Forge | None:
    """The forge that a source names, or None. `read` gives a secret; it is asked when the token is used.

    Stalled where the manifest does not say enough.
    """
    spec = source.spec.forge
    if spec is None:
        return None
    context, branch = f"innkeeper/{source.name}", source.spec.branch
    site, path = _site(spec, source), _repository(spec, source)

    def token() -> SecretStr:
        return read(spec.token)

    if spec.type == "gitlab":
        calls = Calls("GitLab", f"{site}/api/v4", token, "the scope api and the role Developer", _JSON)
        return GitLab(calls, path, branch, context)
    if spec.type == "github":
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        rights = "read and write for commit statuses and pull requests"
        return GitHub(Calls("GitHub", _github(site), token, rights, headers), path, branch, context)
    if spec.type in ("gitea", "forgejo"):
        rights = "read and write for repository and issue, and read for user"
        calls = Calls("Gitea" if spec.type == "gitea" else "Forgejo", f"{site}/api/v1", token, rights, _JSON)
        return GitHub(calls, path, branch, context)
    raise Stalled(
        f"source {source.name}: statuses and comments on {spec.type} are not supported",
        "leave out forge: webhooks work without it",
    )


def _github(site: str) -> str:
    """Where the API of a GitHub is: beside github.com and each tenant of ghe.com, below an own server's address."""
    scheme, _, host = site.partition("://")
    if host in ("github.com", "www.github.com", "api.github.com"):
        return _GITHUB
    if host.endswith(".ghe.com"):
        return f"{scheme}://api.{host.removeprefix('api.')}"
    return f"{site}/api/v3"


def _site(spec: ForgeSpec, source: Source) -> str:
    if spec.url is not None:
        return spec.url.rstrip("/").removesuffix("/api/v3").removesuffix("/api/v1").removesuffix("/api/v4")
    url = source.spec.url
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc}"
    host = parts.hostname if parts.scheme == "ssh" else url.rpartition(":")[0].rpartition("@")[2]
    if host:
        return f"https://{host}"
    raise Stalled(f"source {source.name}: nobody knows where its forge is", "write forge.url")


def _repository(spec: ForgeSpec, source: Source) -> str:
    if spec.repository is not None:
        return spec.repository
    url = source.spec.url
    parts = urlsplit(url)
    path = parts.path if parts.scheme and parts.netloc else url.partition(":")[2]
    below = urlsplit(spec.url).path.rstrip("/") if spec.url else ""
    path = path.removeprefix(f"{below}/").strip("/").removesuffix(".git")
    if path.count("/") < 1:
        raise Stalled(f"source {source.name}: {url} does not tell which repository it is", "write forge.repository")
    return path
