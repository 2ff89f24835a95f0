"""E-mail as it is sent: one address is one address, and a mail server's reply is an answer or not now."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from infra.errors import Undeliverable, Unknown
from infra.model import Attempt
from streams.notifications.decider.message import Deliver
from streams.notifications.effects.email import address_of, connect
from streams.notifications.needs import Needs
from tests.notifications.examples import needs


class Server:
    """A mail server that replies what a test says to each command; it keeps what it takes."""

    def __init__(self, **replies: str) -> None:
        self._replies = replies
        self.kept: list[Any] = []

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, host: str, responses: list[str]) -> list[str]:
        session.host_name = host
        return [self._replies["ehlo"]] if "ehlo" in self._replies else responses

    async def handle_HELO(self, server: Any, session: Any, envelope: Any, host: str) -> str:
        return self._replies["ehlo"]

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        envelope.mail_from = address
        return self._replies.get("mail", "250 OK")

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if "rcpt" not in self._replies:
            envelope.rcpt_tos.append(address)
        return self._replies.get("rcpt", "250 OK")

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.kept.append((envelope.rcpt_tos, envelope.content))
        return self._replies.get("data", "250 OK")


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Needs]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield needs(smtp=f"127.0.0.1:{port}")
    finally:
        controller.stop()


async def sent(server: Server, recipient: str = "ada@example.org", subject: str = "subject") -> str:
    async with serving(server) as given, connect(given) as send:
        return await send(Deliver("n", "customer-1", "email", recipient, subject, "body"), Attempt("id/x.events/0/1"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.org", "ada@example.org"),
        ("ada.love+tea@mail.example.org", "ada.love+tea@mail.example.org"),
        ("o'neill_&co@x-y.example", "o'neill_&co@x-y.example"),
        (" ada@example.org ", "ada@example.org"),
        ("ada@käse.example", "ada@xn--kse-qla.example"),
        ("a" * 64 + "@x.org", "a" * 64 + "@x.org"),
    ],
)
def test_an_address_is_what_smtp_takes(text: str, address: str) -> None:
    assert address_of(text) == address


NO_ADDRESS = [
    *("", "ada", "@", "@x.org", "ada@", "ada@@x.org", "ada@x@y.org"),
    *("a@x.org, b@y.org", "a@x.org,b@y.org", "a@x.org;b@y.org", "a@x.org b@y.org", "a@x.org\nb@y.org"),
    *("A <a@x.org>", "<a@x.org>", "A:a@x.org;", '"a b"@x.org', "a(b)@x.org", "a@[127.0.0.1]", "a@x.org>"),
    *("a@x.org\r\nBcc: b@y.org", "a\r\n@x.org", "a@x.org\0", "a\0b@x.org", "a@x.org\x1b[1m", "a@x.org\u202e"),
    *("jürgen@x.org", "a\ud800@x.org", "a@\ud800.org", "ａ@x.org", "a..b@x.org", ".a@x.org", "a.@x.org"),
    *("a@-x.org", "a@x-.org", "a@.org", "a@x..org", "a@x.org.", "a@x_y.org", "a b@x.org", "a@x .org"),
    *("a" * 65 + "@x.org", "a@" + "x" * 64 + ".org", "a@" + "x." * 130 + "org", "a" * 300_000),
]


@pytest.mark.parametrize("text", NO_ADDRESS, ids=range(len(NO_ADDRESS)))
async def test_what_is_not_one_address_is_not_sent_to_and_not_named(text: str) -> None:
    server = Server()
    with pytest.raises(Undeliverable) as raised:
        await sent(server, text)
    assert server.kept == []
    assert len(text) < 2 or text not in str(raised.value)


async def test_a_message_goes_to_its_one_address_under_the_attempts_key() -> None:
    server = Server()
    assert await sent(server) == "<id.x.events.0.1@weft.example>"
    assert [recipients for recipients, _ in server.kept] == [["ada@example.org"]]


async def test_a_subject_is_one_line() -> None:
    server = Server()
    await sent(server, subject="one\r\nBcc: b@y.org")
    ((recipients, content),) = server.kept
    assert recipients == ["ada@example.org"]
    assert b"Subject: one Bcc: b@y.org" in content


@pytest.mark.parametrize("command", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("code", [500, 501, 550, 552, 553, 554, 571])
async def test_a_reply_of_5xx_is_an_answer(command: str, code: int) -> None:
    with pytest.raises(Undeliverable, match=str(code)):
        await sent(Server(**{command: f"{code} ada@example.org is nobody"}))


@pytest.mark.parametrize("command", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("code", [421, 450, 451, 452, 530, 535])
async def test_a_reply_of_4xx_and_one_that_wants_a_login_leave_it_open(command: str, code: int) -> None:
    with pytest.raises(Unknown):
        await sent(Server(**{command: f"{code} later"}))


async def test_a_server_that_does_not_let_us_in_leaves_it_open() -> None:
    with pytest.raises(Unknown):
        await sent(Server(ehlo="554 go away"))


async def test_nobody_there_leaves_it_open() -> None:
    async with connect(needs(smtp="127.0.0.1:1")) as send:
        with pytest.raises(Unknown):
            await send(Deliver("n", "customer-1", "email", "ada@example.org", "s", "b"), Attempt("key"))
