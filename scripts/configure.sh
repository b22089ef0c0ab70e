#!/bin/sh
# scripts/configure.sh PRESET: runs CMake for build/PRESET, silently unless it fails. Runs every
# time (a second or two), since a new folder is something that Ninja alone would not notice.
set -eu
cd "$(dirname "$0")/.."
log=build/configure-$1.log
mkdir -p build
cargo=$(scripts/find_rust.sh cargo) || true
if ! cmake --preset "$1" ${cargo:+"-DCARGO_EXECUTABLE=$cargo"} >"$log" 2>&1; then
  cat "$log" >&2
  echo "configure: cmake --preset $1 failed" >&2
  exit 1
fi
