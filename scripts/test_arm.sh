#!/bin/sh
# scripts/test_arm.sh [JOBS]: cross-compiles the kernels and the decoder for 64-bit Arm (tests/arm)
# and runs their tests under emulated CPUs. Without the tools it says so and returns 77, which ctest
# shows as skipped.
set -eu
cd "$(dirname "$0")/.."
jobs=${1:-2}

missing=
for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -d /usr/src/googletest ] || missing="$missing /usr/src/googletest"
if [ -n "$missing" ]; then
  echo "test_arm: skipped, this machine lacks:$missing (scripts/setup.sh arm installs them)"
  exit 77
fi

build=build/arm
log=build/arm.log
mkdir -p build
if ! { cmake -S tests/arm -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/aarch64-linux-gnu.cmake" &&
  cmake --build "$build" --parallel "$jobs" --target arm_tests; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "test_arm: the build failed; all of it is in $log" >&2
  exit 1
fi
scripts/check_symbols.sh "$build"
ctest --test-dir "$build" --parallel "$jobs" --output-on-failure -R '^arm_'
