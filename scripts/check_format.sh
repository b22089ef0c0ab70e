#!/bin/sh
# scripts/check_format.sh [--fix]: fails if clang-format 14 or rustfmt would change a file; with
# --fix they change them. clang-format is pinned: every release formats a little differently.
set -eu
cd "$(dirname "$0")/.."

if ! command -v clang-format-14 >/dev/null || ! rustfmt=$(scripts/find_rust.sh rustfmt); then
  echo "check_format: needs clang-format-14 and rustfmt (scripts/setup.sh format installs them)" >&2
  exit 1
fi

cpp_mode='--dry-run -Werror'
rust_mode=--check
if [ "${1-}" = --fix ]; then
  cpp_mode=-i
  rust_mode=
fi

cpp_files() {
  for folder in src apps bench tests rust/textbridge/include; do
    [ ! -d "$folder" ] || find "$folder" \( -name '*.h' -o -name '*.cc' \) -print0
  done
}

bad=0
# shellcheck disable=SC2086  # words, not one argument
cpp_files | xargs -0 clang-format-14 $cpp_mode || bad=1
# rustfmt follows the modules from the root of the crate.
# shellcheck disable=SC2086
"$rustfmt" $rust_mode --edition 2024 --config-path rust/textbridge \
  rust/textbridge/src/lib.rs || bad=1

if [ "$bad" = 1 ]; then
  echo "check_format: run 'make format'" >&2
  exit 1
fi
[ "${1-}" = --fix ] || echo 'check_format: ok'
