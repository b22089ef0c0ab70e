#!/usr/bin/env python3
"""The commands that users of the deployment we replace have in their scripts, verbatim."""

import shutil
import subprocess
import unittest

import harness

# Its document's own text but for the port, which a test cannot count on.
READY = "curl -sf http://127.0.0.1:8000/v1/models | jq ."

COMPLETION = """curl -s http://127.0.0.1:8000/v1/completions \\
-H 'Content-Type: application/json' \\
-d '{
"model":"/path/to/model/",
"prompt":"%s",
"temperature":0,
"max_tokens":128
}' | jq -r '.choices[0].text'
"""

PROMPTS = ("你好,请介绍一下你自己", "What is quantum computing?")

SERVE_FLAGS = """--trust-remote-code --tensor-parallel-size 1 --gpu-memory-utilization 0.85
 --max-model-len 2048 --enforce-eager --dtype bfloat16 --host 0.0.0.0""".split()


def shell(command, port):
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command.replace(":8000/", f":{port}/")],
                          capture_output=True, encoding="utf-8", check=False,
                          timeout=harness.COMMAND_SECONDS)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


class ReferenceDeployment(unittest.TestCase):

    def setUp(self):
        for tool in ("bash", "curl", "jq"):
            if shutil.which(tool) is None:
                self.skipTest(f"needs {tool}")

    def assert_answers(self, port, model):
        for prompt in PROMPTS:
            command = (COMPLETION % prompt).replace("/path/to/model/", model)
            # curl and jq pass the text on unchanged and end it with a newline.
            self.assertEqual(shell(command, port), harness.complete(prompt, 128) + "\n")

    def test_built_in_model_answers_to_the_placeholder(self):
        """Pasted as they stand, placeholder included, the commands work with a bare `serve`."""
        with harness.serve() as server:
            self.assertIn('"object": "list"', shell(READY, server.port))
            self.assert_answers(server.port, "/path/to/model/")

    def test_with_its_flags_and_a_directory(self):
        """Its flag list starts a server whose model goes by the directory as given."""
        directory = f"{harness.TINY_MODEL}/"
        with harness.serve(directory, *SERVE_FLAGS) as server:
            self.assertIn(f'"id": "{directory}"', shell(READY, server.port))
            self.assert_answers(server.port, directory)
            log = server.log()
            for flag in ("--trust-remote-code", "--enforce-eager"):
                self.assertEqual(log.count(flag), 1, log)
            self.assertRegex(log, r"KV cache: [\d,]+ tokens of")


if __name__ == "__main__":
    harness.main()
