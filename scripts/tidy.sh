#!/bin/sh
# scripts/tidy.sh BUILD_DIR [JOBS]: clang-tidy 14 (.clang-tidy) over every source of src/ and apps/
# that the build compiles. Takes minutes, so it is run by hand and not in CI.
set -eu
cd "$(dirname "$0")/.."
build=$1
jobs=${2:-2}

# compile_commands.json speaks g++; the one flag that clang does not know must not be an error.
find src apps -name '*.cc' | sort | while read -r source; do
  grep -qF "/$source\"" "$build/compile_commands.json" && echo "$source"
done | xargs -P "$jobs" -n 1 clang-tidy-14 -p "$build" --quiet \
  --extra-arg=-Wno-unknown-warning-option
