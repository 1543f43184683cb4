"""A small OpenID provider on a real socket: the code flow with PKCE, and every way it can go wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "innkeeper", "the-client-secret"
KEY = RSAKey.generate_key(2048, {"kid": "one"})


@dataclass
class Idp:
    """`claims` are those of the person who is signed in there; `spoil` changes what a token says at last."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    spoil: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: KEY)
    signing: RSAKey | None = None
    down: bool = False
    userinfo: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorize(self, url: str) -> str:
        """What the browser is sent back with after the person agreed."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code" and query["client_id"] == CLIENT
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return query["redirect_uri"] + "?" + urlencode({"code": code, "state": query["state"], "iss": self.issuer})

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        begun = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if authorization != expected or begun is None or proof != begun["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if form["redirect_uri"] != begun["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": begun["nonce"]}
        said = {name: value for name, value in (claims | self.claims | self.spoil).items() if value is not None}
        key = self.signing or self.key
        return 200, {"id_token": jwt.encode({"alg": "RS256", "kid": "one"}, said, key), "access_token": "at"}


@contextmanager
def provider() -> Iterator[Idp]:
    idp = Idp()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, body: object) -> None:
            text = json.dumps(body).encode()
            self.send_response(500 if idp.down else status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            known = {
                name: f"{idp.issuer}/{name.split('_')[0]}" for name in ("authorization_endpoint", "token_endpoint")
            }
            answers: dict[str, object] = {
                "/.well-known/openid-configuration": {"issuer": idp.issuer, **known, "jwks_uri": f"{idp.issuer}/keys"}
                | ({"userinfo_endpoint": f"{idp.issuer}/userinfo"} if idp.userinfo else {}),
                "/keys": {"keys": [idp.key.as_dict(private=False)]},
                "/userinfo": idp.userinfo,
            }
            self._answer(200, answers[self.path])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._answer(*idp.token(form, self.headers.get("Authorization", "")))

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    idp.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield idp
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
