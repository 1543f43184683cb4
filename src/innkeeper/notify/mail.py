"""Notices by mail."""

import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

import aiosmtplib
from pydantic import SecretStr

from innkeeper.control.ports import Notice
from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.server import MailNotifier

_SECONDS = 30.0


class Mail:
    """Implements `innkeeper.control.ports.Notifier`."""

    def __init__(
        self, spec: MailNotifier, password: Callable[[], SecretStr] | None, trust: ssl.SSLContext | None = None
    ) -> None:
        """`trust`: whose certificates are believed; left out, those of this machine."""
        self.name = spec.name
        self._spec = spec
        self._password = password
        self._trust = trust

    async def notify(self, notice: Notice) -> None:
        spec = self._spec
        if notice.kind not in spec.events:
            return
        failed: Stalled | Waiting | None = None
        try:
            await aiosmtplib.send(
                self._message(notice),
                hostname=spec.host,
                port=spec.port,
                username=spec.username,
                password=self._password().get_secret_value() if self._password is not None else None,
                use_tls=spec.security == "tls",
                start_tls=spec.security == "starttls",
                tls_context=self._trust or ssl.create_default_context(),
                timeout=_SECONDS,
            )
        except aiosmtplib.SMTPAuthenticationError:
            failed = Stalled(f"notify {self.name}: {spec.host} refuses the sign-in", "check username and password")
        except aiosmtplib.SMTPResponseException as error:
            text = f"notify {self.name}: {spec.host} answers {error.code}"
            failed = Waiting(text, "it is told again", 60.0) if error.code < 500 else Stalled(text, "check from and to")
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # Its text may repeat what was sent.
            failed = Waiting(f"notify {self.name}: {spec.host} does not take it ({type(error).__name__})", "", 60.0)
        if failed is not None:
            raise failed

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._spec.sender
        message["To"] = ", ".join(self._spec.to)
        message["Subject"] = " ".join(f"Innkeeper: {notice.title}".split())[:200]
        message["Date"] = format_datetime(notice.at)
        message["Message-ID"] = make_msgid(domain="innkeeper")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n\n".join(filter(None, (notice.text, notice.url))) + "\n")
        return message
