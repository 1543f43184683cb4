"""A service as a site of a Caddyfile."""

from urllib.parse import urlsplit

from innkeeper.model.server import CaddyPublisher
from innkeeper.publish.claims import Told
from innkeeper.publish.files import owner_line

_HEADERS = """\theader {
\t\tStrict-Transport-Security "max-age=31536000"
\t\tX-Content-Type-Options nosniff
\t\tX-Frame-Options SAMEORIGIN
\t\tReferrer-Policy strict-origin-when-cross-origin
\t\t-Server
\t}
"""


def site(told: Told, spec: CaddyPublisher) -> str:
    """The whole file. Whatever stands in it was checked: a domain, an address, a port, and the server's own settings.

    ValueError where the service wants a sign-in and `forwardAuth` names none: it is never served without.
    """
    expose = told.expose
    parts: list[str] = []
    if spec.tls == "internal":
        parts.append("\ttls internal\n")
    if not expose.public:
        parts.append(f"\t@outside not remote_ip {' '.join(spec.internal)}\n\trespond @outside 403\n")
    if expose.headers:
        parts.append(_HEADERS)
    if expose.auth:
        parts.append(_sign_in(spec))
    parts.append(_proxy(told))
    address = f"http://{told.domain}" if spec.tls == "off" else told.domain
    return f"{owner_line(told.service.owner)}\n{address} {{\n{''.join(parts)}}}\n"


def _sign_in(spec: CaddyPublisher) -> str:
    if spec.forward_auth is None:
        raise ValueError("it asks for a sign-in, and forwardAuth names none")
    parts = urlsplit(spec.forward_auth)
    uri = parts.path or "/"
    query = f"?{parts.query}" if parts.query else ""
    return (
        f"\tforward_auth {parts.scheme}://{parts.netloc} {{\n\t\turi {uri}{query}\n"
        "\t\tcopy_headers Remote-User Remote-Groups Remote-Name Remote-Email\n\t}\n"
    )


def _proxy(told: Told) -> str:
    if told.expose.scheme == "http":
        return f"\treverse_proxy {told.backend}\n"
    # A guest is asked by its address, for which no authority signs a certificate.
    return (
        f"\treverse_proxy https://{told.backend} {{\n"
        "\t\ttransport http {\n\t\t\ttls_insecure_skip_verify\n\t\t}\n\t}\n"
    )
