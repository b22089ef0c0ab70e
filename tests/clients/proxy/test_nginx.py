"""The server behind nginx, as people deploy it: buffering off, on, and on by default."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import openai

from site_under_test import BASE_URL, BEGINNINGS, MODEL, client, harness

EXTRACTED = harness.ROOT / "build/clients/nginx/usr/sbin"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin:{EXTRACTED}")

# One front per way to treat streams. The last one obeys X-Accel-Buffering, as nginx does by itself.
FRONTS = {"off": "proxy_buffering off;",
          "on": "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;",
          "default": ""}

CONFIG = """
daemon off; pid nginx.pid; error_log stderr warn; worker_processes 1; {user}
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream bitcpm {{ server 127.0.0.1:{upstream}; keepalive 8; }}
  {servers}
}}
"""

SERVER = """
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://bitcpm; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_read_timeout 60s; {how}
    }}
  }}
"""


@unittest.skipIf(NGINX is None, "needs nginx")
class BehindNginx(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.ports = {name: harness.free_port() for name in FRONTS}
        upstream = BASE_URL.rpartition(":")[2].split("/")[0]
        servers = "".join(SERVER.format(port=cls.ports[name], how=how)
                          for name, how in FRONTS.items())
        user = "user root;" if os.geteuid() == 0 else ""
        pathlib.Path(cls.folder, "nginx.conf").write_text(
            CONFIG.format(user=user, upstream=upstream, servers=servers), encoding="utf-8")
        cls.log = cls.enterClassContext(open(pathlib.Path(cls.folder, "log"), "w+b"))
        cls.nginx = subprocess.Popen([NGINX, "-p", cls.folder, "-c", "nginx.conf", "-e", "stderr"],
                                     stdin=subprocess.DEVNULL, stdout=cls.log, stderr=cls.log)
        cls.addClassCleanup(cls.end)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(openai.APIConnectionError), cls.through("off") as front:
                front.models.list()
                return
            if cls.nginx.poll() is not None or time.monotonic() > deadline:
                cls.log.seek(0)
                raise AssertionError(cls.log.read().decode())
            time.sleep(0.05)

    @classmethod
    def end(cls):
        cls.nginx.terminate()
        cls.nginx.wait()

    @classmethod
    def through(cls, front):
        return client(base_url=f"http://127.0.0.1:{cls.ports[front]}/v1")

    def arrivals(self, front, prompt, max_tokens):
        """(text, seconds after the request at which each piece arrived)."""
        text, times = "", []
        with self.through(front) as proxied:
            began = time.monotonic()
            stream = proxied.completions.create(
                model=MODEL, prompt=prompt, temperature=0, max_tokens=max_tokens, stream=True,
                extra_body={"ignore_eos": True})
            for chunk in stream:
                text += chunk.choices[0].text
                times.append(time.monotonic() - began)
        return text, times

    def test_streams_arrive_as_they_are_made(self):
        """Without buffering, and with nginx's defaults too, for the server asks not to be buffered:
        most of an answer's time passes after its first piece."""
        for front in ("off", "default"):
            with self.subTest(front):
                _, times = self.arrivals(front, BEGINNINGS[0], 1500)
                self.assertGreater(len(times), 100)
                self.assertLess(times[0], 0.5 * times[-1])
                # Evenly, not in a few lumps: half of the pieces by about half of the time.
                self.assertLess(times[len(times) // 4], 0.6 * times[-1])

    def test_buffered_streams_are_complete(self):
        """Whatever nginx collects, the text is the same to the last character."""
        with client() as direct:
            for prompt in BEGINNINGS:
                whole = direct.completions.create(
                    model=MODEL, prompt=prompt, temperature=0, max_tokens=600,
                    extra_body={"ignore_eos": True}).choices[0].text
                for front in FRONTS:
                    with self.subTest(front=front, prompt=prompt):
                        self.assertEqual(self.arrivals(front, prompt, 600)[0], whole)

    def test_errors_pass_through(self):
        """The client behind a proxy sees the server's own error."""
        for front in FRONTS:
            with self.through(front) as proxied:
                with self.assertRaises(openai.BadRequestError) as caught:
                    proxied.completions.create(model=MODEL, prompt="x", temperature=9)
                self.assertEqual(caught.exception.param, "temperature")
                proxied.models.list()

    def test_leaving_reaches_the_server(self):
        """A client that closes its stream to nginx frees the engine behind it."""
        with self.through("off") as proxied:
            for _ in range(70):  # more than may run at once
                with proxied.completions.create(
                        model=MODEL, prompt="Once", max_tokens=1900, stream=True,
                        extra_body={"ignore_eos": True}) as stream:
                    next(iter(stream))
            began = time.monotonic()
            proxied.completions.create(model=MODEL, prompt="Once", max_tokens=1)
            self.assertLess(time.monotonic() - began, 5)


if __name__ == "__main__":
    unittest.main()
