#!/usr/bin/env python3
"""Puts the tables of a report between the markers of both READMEs: `make report`.

    scripts/update_readme.py BITCPM REPORT.json

A marker is a line "<!-- report: SECTION -->"; what follows, up to "<!-- report: end -->", is
generated.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
READMES = {"README.md": "en", "README.zh-CN.md": "zh"}
BLOCK = re.compile(r"<!-- report: (performance|accuracy) -->\n.*?<!-- report: end -->", re.DOTALL)


def main():
    bitcpm, report = sys.argv[1:]
    for name, language in READMES.items():
        path = ROOT / name

        def generated(match, language=language):
            section = match.group(1)
            text = subprocess.run([bitcpm, "report", "--from", report, "--section", section,
                                   "--language", language], check=True, capture_output=True,
                                  text=True).stdout
            return f"<!-- report: {section} -->\n{text.strip()}\n<!-- report: end -->"

        text, count = BLOCK.subn(generated, path.read_text(encoding="utf-8"))
        if count != 2:
            sys.exit(f"{name}: {count} marked sections, 2 expected")
        path.write_text(text, encoding="utf-8")
        print(f"{name}: {count} sections")


if __name__ == "__main__":
    main()
