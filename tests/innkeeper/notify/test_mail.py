"""Mail arrives at a real server, encrypted where that is asked for."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import EmailMessage

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr

from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.server import MailNotifier
from innkeeper.notify.mail import Mail
from tests.innkeeper.notify.test_webhook import NOTICE
from tests.innkeeper.publish.services import free_port


class _Box(Message):
    def __init__(self) -> None:
        super().__init__(EmailMessage)
        self.mails: list[EmailMessage] = []

    def handle_message(self, message: object) -> None:
        assert isinstance(message, EmailMessage)
        self.mails.append(message)


def _ada(server: object, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ada", b"s3cret")
    return AuthResult(success=good, handled=False)


def _text(message: EmailMessage) -> str:
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


Start = Callable[..., int]


@pytest.fixture
def box() -> _Box:
    return _Box()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start(box: _Box, authority: trustme.CA) -> Iterator[Start]:
    running: list[Controller] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    def one(*, sign_in: bool = False) -> int:
        port = free_port()
        server = Controller(
            box,
            hostname="127.0.0.1",
            port=port,
            tls_context=context,
            require_starttls=sign_in,
            auth_required=sign_in,
            authenticator=_ada if sign_in else None,
        )
        server.start()
        running.append(server)
        return port

    yield one
    for server in running:
        server.stop()


def mail(port: int, authority: trustme.CA, password: str | None = None, **rest: object) -> Mail:
    spec = {"type": "mail", "name": "mail", "host": "localhost", "port": port, "from": "i@example.org", **rest}
    spec.setdefault("to", ("ops@example.org", "ada@example.org"))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return Mail(
        MailNotifier.model_validate(spec), (lambda: SecretStr(password)) if password is not None else None, trust
    )


async def test_a_notice_arrives(start: Start, box: _Box, authority: trustme.CA) -> None:
    await mail(start(sign_in=True), authority, "s3cret", username="ada").notify(NOTICE)
    (message,) = box.mails
    assert message["Subject"] == "Innkeeper: Container/web <!channel> drifted"
    assert message["To"] == "ops@example.org, ada@example.org"
    assert "by root@pam" in _text(message)
    assert NOTICE.url in _text(message)


async def test_without_encryption_only_where_that_is_meant(start: Start, box: _Box, authority: trustme.CA) -> None:
    await mail(start(), authority, security="none").notify(NOTICE)
    assert len(box.mails) == 1


async def test_no_second_header_in_a_title(start: Start, box: _Box, authority: trustme.CA) -> None:
    await mail(start(), authority).notify(replace(NOTICE, title="web\r\nBcc: all@example.org"))
    (message,) = box.mails
    assert message["Bcc"] is None
    assert message["Subject"] == "Innkeeper: web Bcc: all@example.org"


async def test_a_wrong_password(start: Start, box: _Box, authority: trustme.CA) -> None:
    with pytest.raises(Stalled, match="refuses the sign-in") as caught:
        await mail(start(sign_in=True), authority, "wr0ng-password", username="ada").notify(NOTICE)
    assert "wr0ng-password" not in str(caught.value)
    assert box.mails == []


async def test_a_certificate_that_nobody_trusts(start: Start, box: _Box) -> None:
    with pytest.raises(Waiting, match="does not take it"):
        await mail(start(), trustme.CA()).notify(NOTICE)
    assert box.mails == []


async def test_nobody_listens(authority: trustme.CA) -> None:
    with pytest.raises(Waiting, match="does not take it"):
        await mail(free_port(), authority).notify(NOTICE)


async def test_only_what_is_wanted(start: Start, box: _Box, authority: trustme.CA) -> None:
    await mail(start(), authority, events=("failure", "recovery")).notify(NOTICE)
    assert box.mails == []
