#!/usr/bin/env python3
"""Runs the clients that people use against the built binary. `make test-clients` calls it.

    tests/clients/run.py [SUITE ...]     of: python js page nginx schema schemathesis

One server with the built-in model, on a free port, behind a tap that records what is said
(recorder.py). Prints what each suite prints, a line per suite, and 'N passed, N failed'.
"""

import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import harness  # noqa: E402
import recorder  # noqa: E402
try:
    import schema_check  # noqa: E402
except ModuleNotFoundError:  # outside the environment that install.sh made
    os.execv(harness.ROOT / "build/clients/venv/bin/python", ["python", "-B", *sys.argv])

SITE = harness.ROOT / "build/clients"
NODE = SITE / "node"
PYTHON = SITE / "venv/bin/python"
SUITE_SECONDS = 300


class Tally:
    """What ran, and how it ended."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.lines = []

    def add(self, name, passed, failed, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        self.lines.append(f"{name}: {passed} passed, {failed} failed, {skipped} skipped")


def run(command, environment, folder=HERE):
    """(exit code, everything printed), passed through as it comes."""
    lines = []
    with subprocess.Popen(command, cwd=folder, env={**os.environ, **environment},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8", errors="replace") as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def run_python(name, files, environment, tally):
    code, text = run([PYTHON, "-B", "-m", "unittest", "-v", *map(str, files)],
                     {**environment, "PYTHONPATH": str(HERE / "python")})
    found = re.search(r"^Ran (\d+) tests? in", text, re.MULTILINE)
    ran = int(found[1]) if found else 0
    counts = {word: int(count) for word, count in
              re.findall(r"(failures|errors|skipped)=(\d+)", text.rpartition("\nRan ")[2])}
    bad = counts.get("failures", 0) + counts.get("errors", 0)
    skipped = counts.get("skipped", 0)
    if code != 0 or ran == 0:
        bad = max(bad, 1)  # a suite that could not run has failed
    tally.add(name, max(ran - bad - skipped, 0), bad, skipped)


def run_node(name, files, environment, tally):
    code, text = run([NODE, "--test", "--test-concurrency=1", "--test-reporter=spec",
                      f"--test-timeout={SUITE_SECONDS * 1000}", *map(str, files)], environment)
    counts = {word: int(count) for word, count in
              re.findall(r"^\S+ (pass|fail|cancelled|skipped) (\d+)$", text, re.MULTILINE)}
    bad = counts.get("fail", 0) + counts.get("cancelled", 0)
    if code != 0 or not counts.get("pass"):
        bad = max(bad, 1)
    tally.add(name, counts.get("pass", 0), bad, counts.get("skipped", 0))


def check_schema(server, tap, tally):
    """Everything that was said so far is as /openapi.json describes it."""
    _, document = server.request("GET", "/openapi.json")
    good, bad = schema_check.check(document, tap.exchanges(), lambda text: print(text, flush=True))
    tally.add("schema", good, bad if good else max(bad, 1))


def run_schemathesis(tally):
    """Requests made from /openapi.json, good and bad: no answer breaks the description."""
    # A short context keeps every accepted request cheap.
    with harness.serve("--max-model-len", 64, "--max-num-seqs", 16) as server:
        url = f"http://127.0.0.1:{server.port}"
        code, text = run([SITE / "venv/bin/st", "run", f"{url}/openapi.json", "--no-color",
                          "--max-examples", "25", "--seed", "6", "--max-time", "30",
                          "--continue-on-failure", "--generation-database", "none",
                          "--request-timeout", "30", "--phases", "examples,coverage,fuzzing",
                          # Conditions between fields are in words: what the schema allows may
                          # still be refused, and what is refused for one reason may be allowed
                          # for another.
                          "--exclude-checks", "positive_data_acceptance"], {}, SITE)
        alive = server.request("GET", "/health")[0] == 200
    is_good = code == 0 and alive and bool(re.search(r"^ *[1-9]\d* generated", text, re.MULTILINE))
    tally.add("schemathesis", int(is_good), int(not is_good))


def main(chosen):
    suites = {"python": (run_python, sorted((HERE / "python").glob("test_*.py"))),
              "js": (run_node, sorted((HERE / "js").glob("*.test.mjs"))),
              "page": (run_node, [HERE / "page/page.test.mjs"]),
              "nginx": (run_python, [HERE / "proxy/test_nginx.py"])}
    names = [*suites, "schema", "schemathesis"]
    unknown = set(chosen) - set(names)
    if unknown:
        sys.exit(f"unknown suite: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if not NODE.exists():
        sys.exit("nothing is installed: run tests/clients/install.sh, or make test-clients")
    tally = Tally()
    with harness.serve() as server, recorder.Recorder(server.port) as tap:
        environment = {"BITCPM_BASE_URL": f"http://127.0.0.1:{tap.port}/v1",
                       "BITCPM_BINARY": str(harness.BINARY)}
        for name in chosen or names:
            if name == "schema":
                check_schema(server, tap, tally)
            elif name == "schemathesis":
                run_schemathesis(tally)
            else:
                how, files = suites[name]
                how(name, files, environment, tally)
    print("\n".join(tally.lines))
    print(f"{tally.passed} passed, {tally.failed} failed"
          + (f", {tally.skipped} skipped" if tally.skipped else ""))
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
