"""A small HTTP/1.1 client on asyncio for load: it checks every answer's form and can misbehave."""

import asyncio
import json
import random
import socket
import struct


class Broken(Exception):
    """An answer that breaks the contract: cut off, malformed, or with a wrong number of ends."""


class Connection:
    """One connection to 127.0.0.1; requests one after the other."""

    def __init__(self, port, receive_buffer=None):
        self._port = port
        self._receive_buffer = receive_buffer
        self._reader = self._writer = None

    async def open(self):
        sock = socket.socket()
        sock.setblocking(False)
        if self._receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        self._reader, self._writer = await asyncio.open_connection(
            sock=sock, limit=self._receive_buffer or 1 << 16)
        return self

    @property
    def is_open(self):
        return self._writer is not None

    def close(self, reset=False):
        """By FIN, or by RST."""
        if self._writer is None:
            return
        if reset:
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        else:
            self._writer.close()
        self._writer = None

    def send(self, method, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        head = (f"{method} {path} HTTP/1.1", "Host: load", "Content-Type: application/json",
                f"Content-Length: {len(data)}", "\r\n")
        self._writer.write("\r\n".join(head).encode() + data)

    async def head(self):
        """(status, headers in lower case)."""
        try:
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError as end:
            raise Broken(f"no answer, {len(end.partial)} bytes") from None
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers

    async def body(self, headers):
        if "content-length" not in headers:
            return b"".join([chunk async for chunk in self._chunks()])
        return await self._exactly(int(headers["content-length"]))

    async def ask(self, method, path, body=None):
        """(status, headers, body) of a whole answer."""
        self.send(method, path, body)
        status, headers = await self.head()
        data = await self.body(headers)
        if headers.get("connection") == "close":
            self.close()
        return status, headers, data

    async def events(self):
        """The payloads of a stream of server-sent events, to its orderly end."""
        rest = b""
        async for chunk in self._chunks():
            *blocks, rest = (rest + chunk).split(b"\n\n")
            for block in blocks:
                if not block.startswith(b"data: "):
                    raise Broken(f"not an event: {block[:80]!r}")
                yield block[6:]
        if rest:
            raise Broken(f"the stream ends inside an event: {rest[:80]!r}")

    async def slow_bytes(self, count, pause):
        """Reads `count` bytes, a few at a time, or until nothing comes for a second."""
        while count > 0:
            try:
                data = await asyncio.wait_for(self._reader.read(min(count, 512)), 1)
            except asyncio.TimeoutError:
                return
            if not data:
                return
            count -= len(data)
            await asyncio.sleep(pause)

    async def _chunks(self):
        while True:
            try:
                size = int((await self._reader.readuntil(b"\r\n"))[:-2], 16)
                data = await self._exactly(size + 2)
            except (asyncio.IncompleteReadError, ValueError) as error:
                raise Broken(f"the chunked body is cut off: {error}") from None
            if size == 0:
                return
            yield data[:-2]

    async def _exactly(self, count):
        try:
            return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as end:
            raise Broken(f"{len(end.partial)} of {count} bytes") from None


def random_body(draw: random.Random, most_tokens=128, stream=True):
    """A completion of random length, prompt (as token ids of bitcpm-tiny) and sampling."""
    return {
        "prompt": [draw.randrange(10, 6000) for _ in range(draw.randint(1, 200))],
        "max_tokens": draw.randint(1, most_tokens), "ignore_eos": True, "stream": stream,
        "temperature": draw.choice((0, 0.8)), "seed": draw.randrange(1 << 30),
    }


async def read_stream(connection, on_first=None):
    """Counts the events of one streamed choice: one finish_reason, then [DONE], then nothing."""
    events = ends = 0
    done = False
    async for payload in connection.events():
        if done:
            raise Broken("an event after [DONE]")
        if payload == b"[DONE]":
            done = True
            continue
        event = json.loads(payload)
        if "error" in event:
            raise Broken(f"an error in the stream: {event['error']}")
        if ends:
            raise Broken("an event after the terminal one")
        ends += event["choices"][0]["finish_reason"] is not None
        events += 1
        if events == 1 and on_first:
            on_first()
    if not done or ends != 1:
        raise Broken(f"{ends} terminal events, [DONE] {done}")
    return events
