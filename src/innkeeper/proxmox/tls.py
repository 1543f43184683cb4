"""Whom we believe to be Proxmox: a CA file, one pinned certificate, the system's trust, or (warned about) anybody.

A pinned certificate is fetched once without any trust and compared; from then on exactly that certificate is trusted,
so a token never goes to anyone else. Proxmox's own CA carries no critical basicConstraints, therefore contexts are
made without VERIFY_X509_STRICT (the default of newer Pythons refuses it).
"""

import asyncio
import hashlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpcore2

from innkeeper.engine.errors import EngineError, Stalled, Waiting
from innkeeper.model.objects import Tls

DEFAULT_PORT = 8006
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`https://host[:port]`; without a port Proxmox's own, 8006."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.authority}"

    def __str__(self) -> str:
        return self.url


def parse_endpoint(url: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        return Endpoint(parts.hostname or "", parts.port or DEFAULT_PORT)
    except ValueError:
        raise Stalled(f"endpoint {url} is not an address", "write https://host:8006") from None


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (DER), as `openssl x509 -fingerprint -sha256` and Proxmox's pages show it."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


async def trust(tls: Tls, endpoint: Endpoint, directory: Path) -> ssl.SSLContext:
    """The context to speak to this endpoint. Files are relative to `directory` (the manifest's).

    Stalled when a file is no good or another certificate than the pinned one is presented; Waiting when the endpoint
    is not there to show it.
    """
    context = await _trust(tls, endpoint, directory)
    if tls.client_certificate_file is not None:
        _identify(context, directory, tls.client_certificate_file, tls.client_key_file)
    return context


async def _trust(tls: Tls, endpoint: Endpoint, directory: Path) -> ssl.SSLContext:
    if tls.insecure:
        return _anybody()
    if tls.ca_file is not None:
        return _authority(directory, tls.ca_file)
    if tls.fingerprint is not None:
        return await _pinned(tls.fingerprint.upper(), endpoint)
    return httpcore2.default_ssl_context()


def _identify(context: ssl.SSLContext, directory: Path, name: str, key: str | None) -> None:
    certificate = directory / Path(name).expanduser()
    problem = ""
    try:
        context.load_cert_chain(certificate, directory / Path(key).expanduser() if key else None)
    except ssl.SSLError as error:
        problem = f"no certificate with its private key in PEM form ({error.reason or 'it cannot be read'})"
    except OSError as error:
        problem = error.strerror or "cannot be read"
    if problem:
        raise Stalled(
            f"tls.clientCertificateFile: {certificate}: {problem}",
            "name the key that belongs to it as clientKeyFile; paths are relative to the manifest's directory",
        )


def _anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _authority(directory: Path, name: str) -> ssl.SSLContext:
    path = directory / Path(name).expanduser()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    problem = ""
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        problem = "is not a certificate in PEM form"
    except OSError as error:
        problem = error.strerror or "cannot be read"
    if problem:
        raise Stalled(
            f"tls.caFile: {path}: {problem}",
            "copy /etc/pve/pve-root-ca.pem of any node there; the path is relative to the manifest's directory",
        )
    return context


async def _pinned(expected: str, endpoint: Endpoint) -> ssl.SSLContext:
    certificate = await presented(endpoint)
    if (found := fingerprint(certificate)) != expected:
        raise Stalled(
            f"{endpoint} presents another certificate than the pinned one: {found}",
            "if the node renewed its certificate, compare on the node with `pvenode cert info`, and write "
            f"tls: {{fingerprint: {found}}}; otherwise somebody stands in between",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    return context


async def presented(endpoint: Endpoint) -> bytes:
    """The certificate (DER) that an endpoint shows to anybody; Waiting when it is not there."""
    return await asyncio.to_thread(_presented, endpoint)


def _presented(endpoint: Endpoint) -> bytes:
    problem = ""
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=_PATIENCE) as plain,
            _anybody().wrap_socket(plain, server_hostname=endpoint.host) as secured,
        ):
            if certificate := secured.getpeercert(binary_form=True):
                return certificate
    except OSError as error:
        problem = error.strerror or str(error)
    raise Waiting(f"{endpoint}: {problem or 'no certificate is presented'}", "", 5.0)


async def expiry(endpoint: Endpoint, context: ssl.SSLContext) -> float | None:
    """When the endpoint's certificate ends, in seconds since 1970; None where nothing verifies it."""
    if context.verify_mode is ssl.CERT_NONE:
        return None
    return await asyncio.to_thread(_expiry, endpoint, context)


def _expiry(endpoint: Endpoint, context: ssl.SSLContext) -> float | None:
    with (
        socket.create_connection((endpoint.host, endpoint.port), timeout=_PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=endpoint.host) as secured,
    ):
        end = (secured.getpeercert() or {}).get("notAfter")
    return float(ssl.cert_time_to_seconds(end)) if isinstance(end, str) else None


async def distrust(endpoint: Endpoint, error: ssl.SSLCertVerificationError, tls: Tls) -> EngineError:
    """What to tell when an endpoint's certificate does not convince."""
    message = error.verify_message or error.reason or "it is not valid"
    found = ""
    try:
        found = fingerprint(await presented(endpoint))
    except EngineError:
        found = "unknown"
    if error.verify_code == 10:  # X509_V_ERR_CERT_HAS_EXPIRED
        return Stalled(f"the certificate of {endpoint} has expired", "renew it on its node: pvecm updatecerts --force")
    if error.verify_code in (62, 64):  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        return Stalled(
            f"the certificate of {endpoint} is for another name ({message})",
            f"use a name that it holds as the endpoint, or pin it — tls: {{fingerprint: {found}}}",
        )
    named = "tls.caFile" if tls.ca_file else "this machine"
    return Stalled(
        f"the certificate of {endpoint} is not signed by an authority that {named} trusts ({message}); "
        f"its fingerprint is {found}",
        "compare it on the node with `pvenode cert info`, then write "
        f"tls: {{fingerprint: {found}}}, "
        "or copy /etc/pve/pve-root-ca.pem of a node and write tls: {caFile: pve-root-ca.pem}",
    )
