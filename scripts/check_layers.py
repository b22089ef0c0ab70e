#!/usr/bin/env python3
"""Fails on an include that points upward, on architecture code outside the kernels, and on files
that have grown past the wall.

    scripts/check_layers.py              checks the checkout
    scripts/check_layers.py --self-test  proves that every rule catches a planted violation

The tables below are the architecture (ARCHITECTURE.md, "Direction"); a change here is a decision.
"""

import pathlib
import posixpath
import re
import sys
import tempfile

# Folder -> the folders right below it. An arrow may be included, and so may what it reaches.
BELOW = {
    "src/base": [],
    "src/tensor": ["src/base"],
    "src/kernels": ["src/base"],
    "src/backend": ["src/tensor"],
    "src/io": ["src/tensor"],
    "src/model": ["src/backend", "src/io"],
    "src/text": ["src/base"],
    "src/engine": ["src/model"],
    "src/server": ["src/engine", "src/text"],
    "src/measure": ["src/engine", "src/text"],
    "apps": ["src/server", "src/measure"],
    "bench": ["src/kernels", "src/server", "src/measure"],
    "tests": ["apps", "src/kernels"],
}

# A concrete backend may use the kernels, and nothing above it may include it: whoever sees it is
# listed in BACKEND_USERS.
CONCRETE_BACKENDS = {"src/backend/cpu": ["src/backend", "src/kernels"]}
BACKEND_HEADERS = {"src/backend/cpu": "backend/cpu/cpu_backend.h"}
BACKEND_USERS = ("apps", "tests", "bench")

# Code of one CPU level: its objects may define no weak symbol (check_symbols.sh), so it includes
# nothing with inline functions: C headers, the table it fills, its own folder, that of a level it
# completes, intrinsics.
ISA_FOLDERS = [
    f"src/kernels/{level}"
    for level in ("scalar", "avx2", "avxvnni", "avx512vnni", "amx", "neon", "dotprod", "i8mm")
]
ISA_COMPLETES = {
    "src/kernels/avxvnni": "src/kernels/avx2",
    "src/kernels/amx": "src/kernels/avx512vnni",
    "src/kernels/dotprod": "src/kernels/neon",
    "src/kernels/i8mm": "src/kernels/neon",
}
ISA_SHARED = "src/kernels/shared"
ISA_SYSTEM = {
    *("cfloat", "climits", "cstddef", "cstdint", "cstring"),
    *("float.h", "limits.h", "stddef.h", "stdint.h", "string.h"),
    *("immintrin.h", "arm_neon.h"),
}

# A library is hidden behind the one folder that knows it.
LIBRARY_OWNERS = {
    "CLI/": ("apps",),
    "boost/asio": ("src/server", "src/measure"),
    "boost/beast": ("src/server", "src/measure"),
    "openssl/": ("src/server",),
    "spdlog/": ("src/base",),
    "textbridge.h": ("src/text",),
    "xxhash.h": ("src/base",),
    "zlib.h": ("src/measure",),
}

INTRINSICS_HEADER = re.compile(r"\w*intrin\.h|arm_(neon|sve|acle)\.h|cpuid\.h|asm/hwcap\.h")
ARCHITECTURE = re.compile(
    r"\b(__x86_64__|__i386__|__amd64__|__aarch64__|__arm__|_M_X64|_M_ARM64|__riscv\w*"
    r"|__AVX\w*__|__SSE\w*__|__FMA__|__ARM_\w+|__builtin_ia32_\w+|__builtin_cpu_\w+|_mm\d*_\w+)\b"
)
ARCHITECTURE_EXCEPTIONS = {"src/base/thread_pool.cc": "the pause of a spinning worker"}

HEADER_WALL, SOURCE_WALL, SOURCE_AIM = 150, 600, 400

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
# A string is matched first so that "//" inside it is not taken for a comment.
COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def without_comments(text):
    return COMMENT.sub(lambda m: m.group(1) or "\n" * m.group(0).count("\n"), text)


def reachable(folder):
    """Every folder that `folder` may include, itself among them."""
    seen, todo = set(), [folder]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen.add(at)
            todo += CONCRETE_BACKENDS.get(at) or BELOW[at]
    return seen


def layer_of(path):
    """The entry of the tables that a path of the checkout belongs to, or None."""
    known = [*BELOW, *CONCRETE_BACKENDS]
    owners = [name for name in known if path == name or path.startswith(name + "/")]
    return max(owners, key=len, default=None)


def is_test(path):
    return path.startswith("tests/") or path.endswith("_test.cc")


def folder_of(path):
    return path.rpartition("/")[0]


def target_of(root, path, include):
    """The checkout path that an include means, or None; <> finds our files too."""
    for prefix in (f"{folder_of(path)}/", "src/", ""):
        candidate = posixpath.normpath(prefix + include)
        if (root / candidate).is_file():
            return candidate
    return None


def check_isa_include(path, include, target):
    """The stricter rule of the CPU levels; None or what is wrong."""
    if target is None:
        return None if include in ISA_SYSTEM else f"<{include}> in a CPU level"
    folder = folder_of(path)
    if target == "src/kernels/table.h":
        return None
    if folder_of(target) in (folder, ISA_SHARED, ISA_COMPLETES.get(folder)):
        return None
    return f'"{include}" in a CPU level'


def check_direction(path, include, target):
    layer, below = layer_of(path), layer_of(target)
    if below is None:
        return None
    if below in CONCRETE_BACKENDS and below != layer:
        if target != "src/" + BACKEND_HEADERS[below]:
            return f'"{include}" is private to {below}'
        if not (layer in BACKEND_USERS or is_test(path)):
            return f'"{include}": only {", ".join(BACKEND_USERS)} name a concrete backend'
        return None
    if below not in reachable(layer):
        return f'"{include}": {layer} may not include {below}'
    return None


def check_library(path, include):
    for prefix, owners in LIBRARY_OWNERS.items():
        if include.startswith(prefix) and not path.startswith(owners):
            return f"{include}: only {', '.join(owners)} may know this library"
    return None


def check_includes(root, path, text):
    in_level = folder_of(path) in (*ISA_FOLDERS, ISA_SHARED) and not is_test(path)
    for match in INCLUDE.finditer(text):
        include = match.group(1) or match.group(2)
        target = target_of(root, path, include)
        problem = check_library(path, include)
        if not problem and in_level:
            problem = check_isa_include(path, include, target)
        elif not problem and target:
            problem = check_direction(path, include, target)
        if problem:
            yield text.count("\n", 0, match.start()) + 1, problem


def check_architecture(path, text):
    if path.startswith("src/kernels/") or path in ARCHITECTURE_EXCEPTIONS:
        return
    for number, line in enumerate(text.splitlines(), 1):
        include = INCLUDE.match(line)
        if include and INTRINSICS_HEADER.fullmatch(include.group(2) or ""):
            yield number, f"<{include.group(2)}> outside src/kernels"
        elif found := ARCHITECTURE.search(line):
            yield number, f"{found.group()} outside src/kernels"


def check_file(root, path):
    """Yields (is_error, message) for one file."""
    raw = (root / path).read_text(encoding="utf-8")
    lines = raw.count("\n")
    wall = HEADER_WALL if path.endswith(".h") else SOURCE_WALL
    if lines > wall:
        yield True, f"{path}: {lines} lines, the wall is {wall}"
    elif lines > SOURCE_AIM:
        yield False, f"{path}: {lines} lines, the aim is {SOURCE_AIM}"
    if path.endswith(".rs"):
        return
    text = without_comments(raw)
    for number, problem in (*check_includes(root, path, text), *check_architecture(path, text)):
        yield True, f"{path}:{number}: {problem}"


def check_tree(root):
    """Returns (errors, warnings, number of files)."""
    errors, warnings, count = [], [], 0
    for top, suffixes in (("src", (".h", ".cc")), ("apps", (".h", ".cc")), ("bench", (".h", ".cc")),
                          ("tests", (".h", ".cc")), ("rust/textbridge/src", (".rs",))):
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in suffixes:
                continue
            count += 1
            path = file.relative_to(root).as_posix()
            if file.suffix != ".rs" and layer_of(path) is None:
                errors.append(f"{path}: its folder is in no table of {pathlib.Path(__file__).name}")
                continue
            for is_error, message in check_file(root, path):
                (errors if is_error else warnings).append(message)
    return errors, warnings, count


# What must pass: one legal use of every rule that has an exception.
CLEAN = {
    "src/base/result.h": "#include <string>\n",
    "src/base/thread_pool.cc": "#if defined(__x86_64__)\n#endif\n",
    "src/tensor/buffer.h": '#include "base/result.h"\n',
    "src/io/safetensors.h": '#include "tensor/buffer.h"\n// unlike "engine/engine.h"\n',
    "src/kernels/table.h": "#include <cstdint>\n",
    "src/kernels/shared/limits.h": "#include <cstddef>\n",
    "src/kernels/avx2/install.cc":
        '#include <immintrin.h>\n#include "kernels/table.h"\n#include "kernels/shared/limits.h"\n',
    "src/kernels/avx2/install_test.cc": "#include <vector>\n",
    "src/kernels/avx2/bytes16.h": "#include <immintrin.h>\n",
    "src/kernels/avxvnni/dot16.h": '#include "kernels/avx2/bytes16.h"\n',
    "src/backend/backend.h": '#include "tensor/buffer.h"\n',
    "src/backend/cpu/cpu_backend.h": '#include "backend/backend.h"\n',
    "src/backend/cpu/cpu_backend.cc": '#include "kernels/table.h"\n',
    "src/model/model.h": '#include "backend/backend.h"\n#include "io/safetensors.h"\n',
    "src/model/model_test.cc": '#include "backend/cpu/cpu_backend.h"\n',
    "src/engine/engine.h": '#include "model/model.h"\n',
    "src/text/bridge.cc": '#include "textbridge.h"\n',
    "src/server/server.cc": '#include <boost/beast.hpp>\n#include "engine/engine.h"\n',
    "apps/bitcpm/commands.h": '#include "server/none.h"\n',
    "apps/bitcpm/serve.cc": '#include "commands.h"\n#include "backend/cpu/cpu_backend.h"\n',
    "rust/textbridge/src/lib.rs": "\n" * SOURCE_AIM,
}

# (path, text, part of the one error it must cause)
PLANTED = [
    ("src/base/up.cc", '#include "tensor/buffer.h"\n', "src/base may not include src/tensor"),
    ("src/io/up.cc", '\n  #  include "engine/engine.h"\n', "up.cc:2: \"engine/engine.h\""),
    ("src/io/side.cc", '#include "backend/backend.h"\n', "may not include src/backend"),
    ("src/io/angle.cc", "#include <model/model.h>\n", "may not include src/model"),
    ("src/io/dots.cc", '#include "../model/model.h"\n', "may not include src/model"),
    ("src/text/side.cc", '#include "engine/engine.h"\n', "may not include src/engine"),
    ("src/engine/side.cc", '#include "textbridge.h"\n', "only src/text may know"),
    ("src/kernels/side.cc", '#include "tensor/buffer.h"\n', "may not include src/tensor"),
    ("src/backend/down.cc", '#include "kernels/table.h"\n', "may not include src/kernels"),
    ("src/engine/cpu.cc", '#include "backend/cpu/cpu_backend.h"\n', "name a concrete backend"),
    ("src/server/app.cc", '#include "apps/bitcpm/commands.h"\n', "may not include apps"),
    ("apps/bitcpm/kernel.cc", '#include "kernels/table.h"\n', "apps may not include src/kernels"),
    ("src/kernels/avx2/std.cc", "#include <algorithm>\n", "<algorithm> in a CPU level"),
    ("src/kernels/shared/std.h", "#include <cmath>\n", "<cmath> in a CPU level"),
    ("src/kernels/avx2/base.cc", '#include "base/result.h"\n', '"base/result.h" in a CPU level'),
    ("src/kernels/avx2/up.cc", '#include "kernels/avxvnni/dot16.h"\n', "in a CPU level"),
    ("src/kernels/scalar/avx2.cc", '#include "kernels/avx2/install.cc"\n', "in a CPU level"),
    ("src/model/intrinsics.cc", "#include <immintrin.h>\n", "<immintrin.h> outside"),
    ("src/model/macro.cc", "/* a\n */\n#ifdef __AVX512F__\n", "macro.cc:3: __AVX512F__ outside"),
    ("src/model/call.cc", "auto x = _mm256_setzero_ps();\n", "_mm256_setzero_ps outside"),
    ("src/model/http.cc", "#include <boost/beast/http.hpp>\n", "only src/server, src/measure may know"),
    ("src/model/flags.cc", "#include <CLI/CLI.hpp>\n", "only apps may know"),
    ("src/model/string.cc", 'auto s = "//";\n#include <cpuid.h>\n', "string.cc:2: <cpuid.h>"),
    ("src/model/tall.h", "\n" * (HEADER_WALL + 1), "151 lines, the wall is 150"),
    ("src/model/tall.cc", "\n" * (SOURCE_WALL + 1), "601 lines, the wall is 600"),
    ("rust/textbridge/src/tall.rs", "\n" * (SOURCE_WALL + 1), "601 lines, the wall is 600"),
    ("src/unknown/new.cc", "\n", "in no table"),
]


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for path, text in CLEAN.items():
            write(root, path, text)
        errors, warnings, count = check_tree(root)
        if errors or warnings or count != len(CLEAN):
            failures.append(f"the clean tree: {count} files, {errors}, {warnings}")
        for path, text, part in PLANTED:
            write(root, path, text)
            errors = check_tree(root)[0]
            if len(errors) != 1 or part not in errors[0]:
                failures.append(f"{path}: wanted one error with '{part}', got {errors}")
            (root / path).unlink()
        write(root, "src/model/long.cc", "\n" * (SOURCE_AIM + 1))
        errors, warnings, _ = check_tree(root)
        if errors or len(warnings) != 1:
            failures.append(f"long.cc: wanted one warning, got {errors}, {warnings}")
    for failure in failures:
        print(f"check_layers: self-test: {failure}", file=sys.stderr)
    if not failures:
        print(f"check_layers: self-test ok, {len(PLANTED)} violations caught")
    return 1 if failures else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    errors, warnings, count = check_tree(pathlib.Path(__file__).resolve().parent.parent)
    for warning in warnings:
        print(f"check_layers: warning: {warning}")
    for error in errors:
        print(f"check_layers: {error}", file=sys.stderr)
    if not errors:
        print(f"check_layers: ok, {count} files")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
