"""Notices to a webhook: signed where a secret is given, and never into a network where it has no business."""

import asyncio
import hashlib
import hmac
import json
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from innkeeper.control.ports import Notice
from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.server import WebhookNotifier
from innkeeper.notify.shapes import SHAPES

_SECONDS = 15.0


class Webhook:
    """Implements `innkeeper.control.ports.Notifier`. No redirect is followed; its address is a secret, never told."""

    def __init__(
        self, spec: WebhookNotifier, url: Callable[[], SecretStr], secret: Callable[[], SecretStr] | None
    ) -> None:
        self.name = spec.name
        self._spec = spec
        self._url, self._secret = url, secret

    async def notify(self, notice: Notice) -> None:
        if notice.kind not in self._spec.events:
            return
        url = self._url().get_secret_value()
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise Stalled(f"notify {self.name}: its url is no http(s) address", "write the webhook's whole URL there")
        address = await self._address(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        body = json.dumps(SHAPES[self._spec.shape](notice), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "innkeeper", "Host": parts.netloc}
        if self._secret is not None:
            key = self._secret().get_secret_value().encode()
            headers["X-Innkeeper-Signature-256"] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
        # The address that was looked at is the one that is called: a name may lead elsewhere a moment later.
        called = httpx2.URL(url).copy_with(host=address)
        failed = ""
        try:
            context = await asyncio.to_thread(ssl.create_default_context)
            async with httpx2.AsyncClient(verify=context, timeout=_SECONDS, trust_env=False) as client:
                answer = await client.post(
                    called, content=body, headers=headers, extensions={"sni_hostname": parts.hostname}
                )
        except httpx2.TransportError as error:
            failed = type(error).__name__
        if failed:
            raise Waiting(f"notify {self.name}: no answer ({failed})", "it is told again", 60.0)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Waiting(f"notify {self.name}: {answer.status_code}", "it is told again", 60.0)
        if not answer.is_success:
            raise Stalled(f"notify {self.name}: {answer.status_code}", "check its url, shape and secret")

    async def _address(self, host: str, port: int) -> str:
        """The host's first address. Stalled where one is not on the open network, unless that is allowed."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Waiting(f"notify {self.name}: its host is not found ({error.strerror})", "", 60.0) from None
        addresses = [str(item[4][0]).partition("%")[0] for item in found]
        if not self._spec.allow_private and not all(_is_open(address) for address in addresses):
            raise Stalled(
                f"notify {self.name}: its host is in a private network",
                "set allowPrivate: true where that is meant",
            )
        return addresses[0]


def _is_open(address: str) -> bool:
    ip = ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_global and not (mapped or ip).is_multicast
