"""A real SMTP server that keeps what it is sent: aiosmtpd, told by one JSON object in its first argument.

    starttls      certificate and key files: STARTTLS is offered
    implicit      certificate and key files: TLS from the first byte
    user          [name, password]: AUTH is demanded
    rcpt, data    answers in order to RCPT and to DATA; null, and what comes after the last one, accepts. `drop` takes a mail and
                  breaks off without an answer, `hang` takes it and never answers.

It prints JSON lines: its port, then each mail it has taken and each sign-in. A line on standard input is printed back, so that
a reader knows that it has seen everything before it; the end of the input ends the server.
"""

import asyncio
import email
import email.policy
import json
import logging
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def say(what):
    print(json.dumps(what), flush=True)


def tls(files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


def encrypted(server):
    return server.transport.get_extra_info("sslcontext") is not None


def read(content):
    """A mail as Python's own reader understands it."""
    mail = email.message_from_bytes(content, policy=email.policy.default)

    def part(kind):
        return mail.get_body((kind,)).get_content().replace("\r\n", "\n")

    return {
        "headers": {name.lower(): str(value) for name, value in mail.items()},
        "text": part("plain"),
        "html": part("html"),
        "defects": [str(defect) for part in mail.walk() for defect in part.defects],
    }


class Sink:
    def __init__(self, told):
        self.rcpt = list(told.get("rcpt", []))
        self.data = list(told.get("data", []))
        self.user = told.get("user")

    def authenticate(self, server, session, envelope, mechanism, given):
        good = isinstance(given, LoginPassword) and [given.login.decode(), given.password.decode()] == self.user
        say({"sign_in": mechanism, "good": good, "tls": encrypted(server)})
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.rcpt.pop(0) if self.rcpt else None
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        answer = self.data.pop(0) if self.data else None
        if answer and answer[0].isdigit():
            return answer
        say({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "hello": session.host_name,
            "tls": encrypted(server),
            "signed_in": bool(session.authenticated),
            **read(envelope.content),
        })
        if answer == "drop":
            server.transport.abort()
        if answer == "hang":
            await asyncio.sleep(3600)
        return "250 2.0.0 Ok: queued as SINK1"


async def main(told):
    sink = Sink(told)

    def protocol():
        return SMTP(
            sink,
            hostname="sink.example",
            tls_context=tls(told["starttls"]) if told.get("starttls") else None,
            auth_required=bool(sink.user),
            auth_require_tls=bool(told.get("starttls")),
            authenticator=sink.authenticate if sink.user else None,
        )

    loop = asyncio.get_running_loop()
    context = tls(told["implicit"]) if told.get("implicit") else None
    server = await loop.create_server(protocol, "127.0.0.1", told.get("port", 0), ssl=context)
    say({"port": server.sockets[0].getsockname()[1]})
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        say({"seen": line.decode().strip()})


# It tells of sign-ins in the open and of clients that break off, which tests want.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
asyncio.run(main(json.loads(sys.argv[1])))
