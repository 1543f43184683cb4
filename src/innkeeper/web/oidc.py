"""Sign-in through an OpenID Connect provider: the code flow with PKCE, state and nonce, and roles from a claim.

What was begun travels in a cookie of the browser that began it, so that any replica can finish it, and no other
browser. The ID token is verified by joserfc against the provider's own keys.
"""

import base64
import hashlib
import json
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from innkeeper.control.errors import Denied
from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.plan import Json
from innkeeper.model.records import ROLES, Role
from innkeeper.model.server import Oidc, OidcRoles

_SKEW = 60
"""Seconds that the provider's clock may be off."""
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures by a private key. Never `none`, and no HMAC: the client's secret is not a provider's key."""
_PATIENCE = 10.0
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that was begun; `next` is the page that the person wanted."""

    provider: str
    state: str
    nonce: str
    verifier: str
    next: str

    def to_cookie(self) -> str:
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()

    @staticmethod
    def from_cookie(text: str) -> "Attempt | None":
        try:
            return Attempt(
                **{str(key): str(value) for key, value in json.loads(base64.urlsafe_b64decode(text)).items()}
            )
        except (ValueError, TypeError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says it is. `subject` is `issuer|sub`: names may change hands, subjects never do."""

    subject: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True, repr=False)
class Provider:
    """`secret` reads the client's secret, `trust` the TLS context to speak to the issuer; both when they are needed."""

    spec: Oidc
    secret: Callable[[], str]
    trust: Callable[[], Awaitable[ssl.SSLContext]]

    async def begin(self, callback: str, target: str) -> tuple[str, Attempt]:
        """Where to send the browser, and what its cookie must hold until it comes back."""
        async with await self._client() as client:
            endpoint = (await self._discover(client))["authorization_endpoint"]
        made = Attempt(
            self.spec.name, secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), target
        )
        challenge = base64.urlsafe_b64encode(hashlib.sha256(made.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.spec.client_id,
            "redirect_uri": callback,
            "scope": " ".join(self.spec.scopes),
            "state": made.state,
            "nonce": made.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", made

    async def finish(self, attempt: Attempt, answer: Mapping[str, str], callback: str, now: int) -> Identity:
        """Who came back, from the `answer` in the callback's query; `now` in seconds since 1970."""
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise Denied("this sign-in was not begun in this browser", "Begin it again.")
        if "error" in answer:
            raise Denied(f"{self.spec.name} did not sign you in: {_short(answer['error'])}", "Try again, or ask there.")
        if "iss" in answer and answer["iss"] != self.spec.issuer:
            raise Denied(f"the answer is from another provider than {self.spec.name}", "Begin it again.")
        async with await self._client() as client:
            known = await self._discover(client)
            tokens = await self._ask(
                client, "POST", known["token_endpoint"], **self._exchange(known, attempt, answer, callback)
            )
            claims = await self._verified(client, known, str(tokens.get("id_token", "")), attempt.nonce, now)
            if self.spec.roles.claim not in claims and "userinfo_endpoint" in known:
                bearer = {"Authorization": f"Bearer {tokens.get('access_token', '')}"}
                more = await self._ask(client, "GET", known["userinfo_endpoint"], headers=bearer)
                if more.get("sub") == claims["sub"]:
                    claims = {**more, **claims}
        role = role_of(claims, self.spec.roles)
        if role is None:
            raise Denied(
                f"your account at {self.spec.name} has no role here",
                f"Ask an admin: the claim {self.spec.roles.claim} decides, by signIn.oidc of the server's manifest.",
            )
        return Identity(f"{self.spec.issuer}|{claims['sub']}", _name(claims), role)

    def _exchange(
        self, known: Mapping[str, Any], attempt: Attempt, answer: Mapping[str, str], callback: str
    ) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": answer.get("code", ""),
            "redirect_uri": callback,
            "code_verifier": attempt.verifier,
        }
        ways = known.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in ways:
            return {"data": form, "auth": httpx2.BasicAuth(self.spec.client_id, self.secret())}
        return {"data": {**form, "client_id": self.spec.client_id, "client_secret": self.secret()}}

    async def _verified(
        self, client: httpx2.AsyncClient, known: Mapping[str, Any], token: str, nonce: str, now: int
    ) -> Mapping[str, Json]:
        keys = await self._ask(client, "GET", known["jwks_uri"])
        rules = jwt.JWTClaimsRegistry(
            now,
            _SKEW,
            iss={"essential": True, "value": self.spec.issuer},
            aud={"essential": True, "value": self.spec.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            found = jwt.decode(token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS)  # type: ignore[arg-type]
            rules.validate(found.claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise Denied(
                f"the ID token of {self.spec.name} is not valid ({type(error).__name__})",
                "Begin again; should it stay so, compare issuer, clientID and the clocks of both machines.",
            ) from None
        if found.claims.get("azp", self.spec.client_id) != self.spec.client_id:
            raise Denied(f"the ID token of {self.spec.name} was made for another application", "Begin again.")
        return found.claims

    async def _discover(self, client: httpx2.AsyncClient) -> Mapping[str, Any]:
        known = await self._ask(client, "GET", f"{self.spec.issuer.rstrip('/')}/.well-known/openid-configuration")
        if str(known.get("issuer", "")) != self.spec.issuer:
            raise Stalled(
                f"{self.spec.issuer} calls itself {_short(known.get('issuer'))}",
                "Write the issuer in signIn.oidc exactly as the provider does.",
            )
        if missing := {"authorization_endpoint", "token_endpoint", "jwks_uri"} - known.keys():
            raise Stalled(f"{self.spec.name} does not say its {', '.join(sorted(missing))}", "Is it an OIDC provider?")
        return known

    async def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(verify=await self.trust(), timeout=_PATIENCE, follow_redirects=False)

    async def _ask(self, client: httpx2.AsyncClient, method: str, url: str, **request: Any) -> dict[str, Any]:
        """One answer in JSON. Nothing of it is repeated in an error: it may hold tokens."""
        try:
            async with client.stream(method, url, **request) as response:
                body = b""
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > _LARGEST:
                        raise Stalled(f"{self.spec.name} answers more than a megabyte at {_path(url)}")
        except httpx2.HTTPError as error:
            raise Waiting(
                f"{self.spec.name} cannot be asked at {_path(url)}: {type(error).__name__}", "Try again shortly.", 5.0
            ) from None
        if response.status_code >= 500:
            raise Waiting(f"{self.spec.name} answers {response.status_code} at {_path(url)}", "Try again shortly.", 5.0)
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if response.status_code != 200 or not isinstance(found, dict):
            raise Denied(
                f"{self.spec.name} answers {response.status_code} at {_path(url)}",
                "Begin again; should it stay so, compare clientID, clientSecret and the redirect address there.",
            )
        return found


def role_of(claims: Mapping[str, Json], rules: OidcRoles) -> Role | None:
    """The most that any value of the claim gives; a claim is a list of words or one word."""
    told = claims.get(rules.claim)
    values = {str(item) for item in told} if isinstance(told, list) else {told} if isinstance(told, str) else set()
    given = {"viewer": rules.viewer, "operator": rules.operator, "admin": rules.admin}
    return next((role for role in reversed(ROLES) if values & set(given[role])), rules.default)


def _name(claims: Mapping[str, Json]) -> str:
    """How people know them; printable and short, since it stands on pages and in the audit log."""
    told = next((str(claims[key]) for key in ("preferred_username", "email", "sub") if claims.get(key)), "")
    return "".join(letter for letter in told if letter.isprintable())[:64].strip() or "unnamed"


def _path(url: str) -> str:
    return httpx2.URL(url).path


def _short(value: object) -> str:
    return "".join(letter for letter in str(value) if letter.isprintable())[:80]
