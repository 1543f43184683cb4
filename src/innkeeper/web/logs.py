"""The server's log: one JSON object a line on standard error, with the request's id, and never a secret.

What other libraries log goes the same way. Fields whose name tells of a secret are covered, and so is anything in a
text that looks like one: our own tokens, bearer tokens, a password inside a URL.
"""

import logging
import re
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

COVER = "[hidden]"
_NAMES = re.compile(r"pass(word|phrase)?|secret|token|authorization|cookie|api_?key|csrf|credential", re.IGNORECASE)
_LOOKS = (
    re.compile(r"\bink_[A-Za-z0-9_-]+"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]+"),
    re.compile(r"(?i)(?<=PVEAPIToken=)\S+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=[?&])(secret|token|code|state|password)=[^&\s\"']+"),
)


def covered(value: object) -> object:
    """The same without what looks like a secret, to any depth."""
    if isinstance(value, str):
        for looks in _LOOKS:
            value = looks.sub(COVER, value)
        return value
    if isinstance(value, dict):
        return {key: COVER if _NAMES.search(str(key)) and item else covered(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [covered(item) for item in value]
    return value


def _scrub(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    found = covered({key: item for key, item in event.items() if not key.startswith("_")})
    kept = {key: item for key, item in event.items() if key.startswith("_")}
    return {**found, **kept} if isinstance(found, dict) else event


def configure(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Once, when the server starts. Tracebacks hold no values of variables: those may be secrets."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _scrub,
                structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("httpx2", "httpcore2", "asyncio", "aiosqlite", "alembic", "asyncssh", "procrastinate"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
