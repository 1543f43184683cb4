"""Notifiers as the server's manifest names them."""

from collections.abc import Callable, Iterable

from pydantic import SecretStr

from innkeeper.control.ports import Notifier
from innkeeper.model.objects import SecretSource
from innkeeper.model.server import Notify, WebhookNotifier
from innkeeper.notify.mail import Mail
from innkeeper.notify.webhook import Webhook


def notifiers(specs: Iterable[Notify], secret: Callable[[SecretSource, str], SecretStr]) -> tuple[Notifier, ...]:
    """`secret` reads a secret at every use, so that a new one is seen."""

    def reader(source: SecretSource, what: str) -> Callable[[], SecretStr]:
        return lambda: secret(source, what)

    def one(spec: Notify) -> Notifier:
        where = f"notify {spec.name}"
        if isinstance(spec, WebhookNotifier):
            signing = reader(spec.secret, f"{where}: secret") if spec.secret is not None else None
            return Webhook(spec, reader(spec.url, f"{where}: url"), signing)
        return Mail(spec, reader(spec.password, f"{where}: password") if spec.password is not None else None)

    return tuple(one(spec) for spec in specs)
