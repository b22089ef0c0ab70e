#!/bin/sh
# Fuzzes every reader of untrusted files with libFuzzer, one after the other.
# Usage: scripts/fuzz.sh [seconds per target, 60 by default]
# Fails on the first crash; the input that caused it is left in build/fuzz/crashes. What the runs
# learn stays in build/fuzz/corpus and is where the next run begins.
set -eu

seconds=${1:-60}
cd "$(dirname "$0")/.."
readers="safetensors torch_bin model_config shard_index packed_manifest saved_run"

cmake --preset fuzz >/dev/null
# shellcheck disable=SC2046
cmake --build build/fuzz --target $(for reader in $readers; do echo "fuzz_$reader"; done)

mkdir -p build/fuzz/crashes
for reader in $readers; do
  seeds="tests/fuzz/seeds/$reader"
  if [ "$reader" = torch_bin ]; then seeds="src/io/testdata"; fi
  corpus="build/fuzz/corpus/$reader"
  mkdir -p "$corpus"
  log="build/fuzz/$reader.log"
  if ! "build/fuzz/bin/fuzz_$reader" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -print_final_stats=1 -artifact_prefix=build/fuzz/crashes/ "$corpus" "$seeds" >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz_$reader: failed; see $log"
    exit 1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "fuzz_$reader: $runs inputs in $seconds s, no crash"
done
