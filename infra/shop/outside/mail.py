"""A mail server that keeps what arrives: SMTP in, one file a message in a Maildir."""

import itertools
import mailbox
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.notifications.needs import SANDBOX

FOLDER = "mail"  # in the directory of the stand-ins


def kept_in(home: Path) -> Path:
    """The Maildir of an instance; there is none if its mail server is somebody else's."""
    return home / SANDBOX.name / FOLDER


class Keep:
    def __init__(self, maildir: Path) -> None:
        mailbox.Maildir(maildir, create=True)
        self._maildir = maildir
        self._count = itertools.count()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        content = envelope.content
        name = f"{time.time_ns()}.{next(self._count)}.weft"
        scratch = self._maildir / "tmp" / name
        scratch.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        scratch.rename(self._maildir / "new" / name)  # as https://cr.yp.to/proto/maildir.html has it, without its fsync
        return "250 kept"


def controller(maildir: Path, host: str, port: int) -> Any:
    """A server in a thread of its own, to be started and stopped."""
    from aiosmtpd.controller import Controller  # only where mail is received

    maildir.parent.mkdir(parents=True, exist_ok=True)
    return Controller(Keep(maildir), hostname=host, port=port, data_size_limit=1 << 20, enable_SMTPUTF8=True)


@contextmanager
def serving(server: Any) -> Iterator[None]:
    """Receive mail for as long as the block runs."""
    server.start()
    try:
        yield
    finally:
        server.stop()


def messages(maildir: Path) -> list[dict[str, str]]:
    """What arrived, oldest first: to, subject, message_id, text."""
    if not maildir.exists():
        return []
    box = mailbox.Maildir(maildir, create=False)
    mails = []
    for key in sorted(
        box.keys(), key=lambda k: [int(p) if p.isdigit() else p for p in k.replace(".", "_").split("_")][:1]
    ):
        message = box[key]
        payload = message.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        mails.append(
            {
                "to": str(message["To"]),
                "subject": str(message["Subject"]),
                "message_id": str(message["Message-ID"]),
                "text": text,
            }
        )
    return mails
