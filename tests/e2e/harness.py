"""Runs the built binary from the outside: commands, and a server that ends with its `with` block.

BITCPM_BINARY names the binary; build/release/bin/bitcpm if unset.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("BITCPM_BINARY", ROOT / "build/release/bin/bitcpm"))
TINY_MODEL = ROOT / "assets/bitcpm-tiny"

# Generous: a loaded two-core machine, or a sanitizer build, must not make a test fail.
COMMAND_SECONDS = 120
START_SECONDS = 60
STOP_SECONDS = 15


def run(*args, stdin="", env=None, timeout=COMMAND_SECONDS):
    """One command; its CompletedProcess with text output. Text for stdin, or bytes as they are."""
    is_text = isinstance(stdin, str)
    done = subprocess.run([BINARY, *map(str, args)],
                          input=stdin.encode("utf-8") if is_text else stdin, capture_output=True,
                          timeout=timeout, check=False, env={**os.environ, **(env or {})})
    done.stdout = done.stdout.decode("utf-8")
    done.stderr = done.stderr.decode("utf-8")
    return done


def complete(prompt, max_tokens, *args, env=None):
    """The greedy continuation that `bitcpm complete` prints."""
    done = run("complete", *args, "--prompt", prompt, "--temperature", 0, "--max-tokens",
               max_tokens, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n"), repr(done.stdout)
    return done.stdout[:-1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running `bitcpm serve`."""

    def __init__(self, process, port, log, key=None, tls=None):
        self.process, self.port, self._log, self.tls = process, port, log, tls
        self.headers = {"Content-Type": "application/json"}
        if key is not None:
            self.headers["Authorization"] = f"Bearer {key}"

    def log(self):
        """Everything printed so far, both streams."""
        return pathlib.Path(self._log).read_text(encoding="utf-8")

    def wait_for_log(self, text):
        """Everything printed, once `text` is part of it: a server answers before it says so."""
        deadline = time.monotonic() + START_SECONDS
        while text not in self.log() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.log()

    def connect(self):
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=COMMAND_SECONDS)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=COMMAND_SECONDS,
                                           context=self.tls)

    def request(self, method, path, body=None):
        """(status, parsed JSON or text) of one request on a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body if body is None else encode(body), self.headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8")
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text

    def open_stream(self, body):
        """The connection and the response of a streaming completion, headers read."""
        connection = self.connect()
        connection.request("POST", "/v1/completions", encode({**body, "stream": True}),
                           self.headers)
        return connection, connection.getresponse()

    def stop(self, how=signal.SIGTERM):
        """The exit code after the signal."""
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)


def encode(body):
    """A dict as JSON; text and bytes as they are."""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode("utf-8")


def events(response):
    """The payloads of a server-sent event stream, up to its end."""
    for line in response:
        line = line.decode("utf-8").rstrip("\r\n")
        if line.startswith("data: "):
            yield line[len("data: "):]
        else:
            assert line == "", f"not an event: {line!r}"


def wait_until_ready(server):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            if server.request("GET", "/ready")[0] == 200:
                return
        time.sleep(0.02)
    raise AssertionError(f"serve did not become ready:\n{server.log()}")


@contextlib.contextmanager
def serve(*args, env=None, key=None, tls=None):
    """A ready server with these further arguments on a free port, killed at the end.

    key: the API key that it asks for; tls: the ssl.SSLContext to speak to it with.
    """
    port = free_port()
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen([BINARY, "serve", *map(str, args), "--port", str(port)],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**os.environ, **(env or {})})
        try:
            server = Server(process, port, log.name, key, tls)
            wait_until_ready(server)
            yield server
        finally:
            process.kill()
            process.wait()


def self_signed(directory, name):
    """Paths of a certificate of 127.0.0.1 and `name`, and of its key; skips without openssl."""
    if shutil.which("openssl") is None:
        raise unittest.SkipTest("needs the openssl command")
    cert, key = f"{directory}/cert.pem", f"{directory}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def main():
    """Runs the calling file's tests; 77, which ctest reports as skipped, if none of them could."""
    if not BINARY.is_file():
        sys.exit(f"{BINARY} is not built")
    result = unittest.main(verbosity=2, exit=False).result
    if result.wasSuccessful() and len(result.skipped) >= result.testsRun:
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
