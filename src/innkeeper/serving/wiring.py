"""Every port of the control plane with what implements it."""

import logging
from datetime import UTC, datetime

from innkeeper import runtime
from innkeeper.control.house import House
from innkeeper.control.memory import Store
from innkeeper.control.ports import Bus, Forge, Hint, Publisher, Queue, Repository
from innkeeper.engine.errors import Stalled
from innkeeper.forge.forges import forge_of
from innkeeper.model.server import DefinitionsPublisher
from innkeeper.model.sources import GitCredentials, Source
from innkeeper.notify.notifiers import notifiers
from innkeeper.publish.publishers import publishers
from innkeeper.serving.links import KeptLinks
from innkeeper.serving.settings import PORTAL, Settings, own_repository
from innkeeper.sources import webhooks
from innkeeper.sources.git import GitRepository, create_bare
from innkeeper.sources.gitcommand import NOBODY, Login
from innkeeper.sources.nix import evaluate
from innkeeper.sources.nixbuild import built, derive
from innkeeper.web.hearing import Headers, Heard, Hooks

_logger = logging.getLogger(__name__)


def now() -> datetime:
    return datetime.now(UTC)


def house(settings: Settings, store: Store, queue: Queue, bus: Bus, links: KeptLinks, url: str) -> House:
    """One for each event loop. Stalled where a secret that is needed from the start is not there."""
    return House(
        sources=settings.sources,
        clusters=settings.clusters,
        server=settings.server,
        store=store,
        queue=queue,
        bus=bus,
        links=links,
        insides=lambda declared: runtime.working_inside(declared, settings.data / "guests", foreign=True),
        repositories={name: repository(settings, source) for name, source in settings.sources.items()},
        now=now,
        url=url,
        publishers=_publishers(settings),
        notifiers=notifiers(settings.server.notify, settings.secret),
        forges=_forges(settings),
        evaluate=evaluate,
        derive=derive,
        builder=built,
    )


async def prepare_data(settings: Settings) -> None:
    """The data directory, and the repositories that Innkeeper keeps itself."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    for source in settings.sources.values():
        place = own_repository(settings.data, source.name)
        if source.spec.url == str(place):
            await create_bare(place, source.spec.branch, begun=source.name == PORTAL)


def repository(settings: Settings, source: Source) -> Repository:
    spec = source.spec
    login = _login(settings, spec.credentials, f"source {source.name}")
    return GitRepository(
        source.name,
        spec.url,
        settings.data,
        branch=spec.branch,
        path=spec.path,
        login=login,
        environ=settings.environ,
        submodules=spec.format == "container-monorepo",
    )


def _login(settings: Settings, credentials: GitCredentials | None, what: str) -> Login:
    if credentials is None:
        return NOBODY
    if credentials.ssh_key is not None:
        key = settings.secret(credentials.ssh_key, f"{what}: sshKey").get_secret_value()
        return Login(ssh_key=key, known_hosts=credentials.known_hosts or "")
    assert credentials.password is not None
    password = settings.secret(credentials.password, f"{what}: password").get_secret_value()
    return Login(username=credentials.username or "git", password=password)


def _publishers(settings: Settings) -> tuple[Publisher, ...]:
    def opened(spec: DefinitionsPublisher) -> Repository:
        login = _login(settings, spec.credentials, f"publish {spec.name}")
        return GitRepository(f"publish-{spec.name}", spec.url, settings.data, branch=spec.branch, login=login)

    return publishers(settings.server.publish, opened, settings.secret)


def _forges(settings: Settings) -> dict[str, Forge]:
    found = {name: forge_of(source, settings.secret) for name, source in settings.sources.items()}
    return {name: forge for name, forge in found.items() if forge is not None}


def hooks(settings: Settings) -> Hooks:
    """How webhooks are proved and read. A secret is read at every message, so that a new one is seen."""

    def secret(name: str) -> str:
        """Empty where there is none, which refuses. Why is for whoever runs the server, not for whoever calls it."""
        hook = settings.sources[name].spec.webhook
        try:
            return settings.secret(hook.secret, f"source {name}: webhook").get_secret_value() if hook else ""
        except Stalled as error:
            _logger.warning("%s", error)
            return ""

    def receive(name: str, headers: Headers, body: bytes) -> Heard:
        if name not in settings.sources or settings.sources[name].spec.webhook is None:
            return Heard(cause="signature", reason="webhooks are not taken here")
        return _heard(webhooks.receive(headers, body, secret(name), settings.sources[name].spec))

    def addressed(headers: Headers, body: bytes) -> dict[str, Heard]:
        taking = {name: (source.spec, secret(name)) for name, source in settings.sources.items() if source.spec.webhook}
        return {name: _heard(said) for name, said in webhooks.addressed(headers, body, taking).items()}

    return Hooks(receive, addressed)


def _heard(said: webhooks.Hint | webhooks.Ignored | webhooks.Refused) -> Heard:
    if isinstance(said, webhooks.Refused):
        return Heard(cause=said.cause, reason=said.reason)
    if isinstance(said, webhooks.Ignored):
        return Heard(reason=said.reason)
    hint: Hint = said
    return Heard(hint=hint)
