"""A tap between clients and a server: bytes pass unchanged, and what was said can be read later.

Clients talk to `Recorder.port`. The tap copies bytes and nothing else: it neither parses nor
buffers while it forwards, and it passes every close on, so that streams, time-outs and
cancellations behave as without it. The exchanges are parsed once the traffic is over.
"""

import asyncio
import dataclasses
import json
import threading

_MAX_RECORDED_BYTES = 256 << 20  # of one run; beyond it bytes are forwarded but not kept


@dataclasses.dataclass
class Exchange:
    """One request and its answer. A cancelled answer has what arrived; `complete` says so."""

    method: str
    target: str
    request_headers: dict
    request_body: bytes
    status: int
    headers: dict
    body: bytes
    complete: bool

    @property
    def path(self):
        return self.target.split("?")[0]

    @property
    def content_type(self):
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    def events(self):
        """The payloads of the whole server-sent events that arrived."""
        for block in self.body.decode("utf-8", "replace").split("\n\n")[:-1]:
            for line in block.split("\n"):
                if line.startswith("data: "):
                    yield line[len("data: "):]

    def json(self):
        return json.loads(self.body)


class Recorder:
    """Runs in a thread of its own between `with` and its end."""

    def __init__(self, upstream_port):
        self._upstream_port = upstream_port
        self._connections = []  # (bytes from the client, bytes from the server)
        self._recorded_bytes = 0
        self._tasks = set()  # asyncio itself holds a connection's task weakly
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = None

    def __enter__(self):
        self._thread.start()
        starting = asyncio.start_server(self._connected, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _connected(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        asyncio.current_task().add_done_callback(self._tasks.discard)
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            writer.close()
            return
        sides = (bytearray(), bytearray())
        self._connections.append(sides)
        pumps = [asyncio.ensure_future(self._pump(reader, upstream[1], sides[0])),
                 asyncio.ensure_future(self._pump(upstream[0], writer, sides[1]))]
        # A pump passes a half-close on; a reset (an exception) ends the other direction too.
        await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for end in (writer, upstream[1]):
            end.close()

    async def _pump(self, source, sink, record):
        while data := await source.read(1 << 16):
            if self._recorded_bytes < _MAX_RECORDED_BYTES:
                record += data
                self._recorded_bytes += len(data)
            sink.write(data)
            await sink.drain()
        sink.write_eof()

    def exchanges(self):
        """Everything said so far, connection by connection."""
        return [exchange for client, server in list(self._connections)
                for exchange in _exchanges(bytes(client), bytes(server))]


def _exchanges(client, server):
    while True:
        request = _message(client, is_request=True)
        if request is None:
            return
        (method, target, _), headers, body, client, _ = request
        answer = _message(server, is_request=False, to_head=method == "HEAD")
        while answer is not None and answer[0][1].startswith("1"):  # 100 Continue
            answer = _message(answer[3], is_request=False, to_head=method == "HEAD")
        if answer is None:
            return  # cut off before the first byte of an answer
        (_, status, _), answer_headers, answer_body, server, complete = answer
        yield Exchange(method, target, headers, body, int(status), answer_headers, answer_body,
                       complete)


def _message(data, is_request, to_head=False):
    """(words of the first line, headers, body, rest, whether it is whole), or None."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    words = (first.split(" ", 2) + ["", ""])[:3]
    no_body = to_head or (not is_request and words[1] in ("204", "304") or words[1][:1] == "1")
    if no_body:
        return words, headers, b"", rest, True
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return (words, headers, *_chunked(rest))
    if "content-length" in headers:
        length = int(headers["content-length"])
        return words, headers, rest[:length], rest[length:], len(rest) >= length
    if is_request:
        return words, headers, b"", rest, True
    return words, headers, rest, b"", True  # until the connection's end


def _chunked(data):
    body = bytearray()
    while True:
        size, separator, rest = data.partition(b"\r\n")
        if not separator:
            return bytes(body), b"", False
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return bytes(body), rest[2:], rest[:2] == b"\r\n"
        if len(rest) < length + 2:
            return bytes(body) + rest[:length], b"", False
        body += rest[:length]
        data = rest[length + 2:]
