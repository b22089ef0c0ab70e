#!/bin/sh
# scripts/check_symbols.sh BUILD_DIR | --self-test
# Every object of a CPU level (src/kernels/<level>/*.cc) defines exactly one global symbol, a strong
# one. A weak symbol there is an inline function compiled with that level's instructions: the linker
# may keep that copy for the whole program, which then crashes on an older CPU.
set -eu
cd "$(dirname "$0")/.."

# check_object FILE: prints what is wrong with it; fails if anything is.
check_object() {
  nm -C --defined-only --extern-only "$1" | awk -v object="$1" '
    { type = $2; sub(/^[^ ]+ [^ ]+ /, "") }
    type ~ /^[WVu]$/ { print object ": weak symbol: " $0; bad = 1; next }
    { ++strong; names = names "; " $0 }
    END {
      if (strong != 1) {
        print object ": " strong + 0 " strong symbols, must be one" names
        bad = 1
      }
      exit bad
    }'
}

# A level that this architecture cannot have (neon on x86-64) has no objects at all; of every other
# level each source must have been compiled, and scalar is never absent.
check_build() {
  build=$1
  checked=0
  bad=0
  for folder in src/kernels/*/; do
    level=$(basename "$folder")
    objects=$build/src/kernels/CMakeFiles/bitcpm_kernels.dir/$level
    if [ ! -d "$objects" ]; then
      if [ "$level" = scalar ]; then
        echo "check_symbols: no objects in $objects: build first" >&2
        exit 1
      fi
      continue
    fi
    for source in "$folder"*.cc; do
      case $source in *_test.cc) continue ;; esac
      check_object "$objects/$(basename "$source").o" || bad=1
      checked=$((checked + 1))
    done
  done
  [ "$bad" = 0 ] || exit 1
  echo "check_symbols: ok, $checked objects"
}

# Plants one object per verdict.
self_test() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  expect() { # VERDICT SOURCE_TEXT
    printf '%s\n' "$2" >"$work/planted.cc"
    "${CXX:-c++}" -std=c++20 -O0 -c "$work/planted.cc" -o "$work/planted.o"
    verdict=accept
    check_object "$work/planted.o" >"$work/out" || verdict=refuse
    if [ "$verdict" != "$1" ]; then
      echo "check_symbols: self-test: should $1: $2" >&2
      cat "$work/out" >&2
      exit 1
    fi
  }
  expect accept 'static int twice(int x) { return 2 * x; } int only(int x) { return twice(x); }'
  expect accept 'extern "C" int only() { return 0; }'
  expect accept 'extern const int kTable[2]; const int kTable[2] = {1, 2};'
  expect refuse 'int one() { return 1; } int two() { return 2; }'
  expect refuse 'inline int twice(int x) { return 2 * x; } int only(int x) { return twice(x); }'
  expect refuse 'template <class T> T f(T x) { return x; } int only(int x) { return f(x); }'
  expect refuse 'inline int shared = 1; int* only() { return &shared; }'
  expect refuse 'static int unused() { return 1; } static int (*keep)() = unused;'
  echo 'check_symbols: self-test ok'
}

case ${1-} in
  --self-test) self_test ;;
  '')
    echo 'usage: scripts/check_symbols.sh BUILD_DIR | --self-test' >&2
    exit 2
    ;;
  *) check_build "$1" ;;
esac
