#!/bin/sh
# scripts/setup.sh PURPOSE...: makes sure that the tools for each purpose are there.
#   build   compile and test        format  clang-format, rustfmt
#   fuzz    clang with libFuzzer    tidy    clang-tidy
#   arm     cross compiler and emulator of 64-bit Arm, for scripts/test_arm.sh
#   bench   Google Benchmark        test    NumPy, for tests that compute figures a second time
#   metrics promtool, from Debian's package but without the service in it
#   clients Python with venv; tests/clients/install.sh takes the rest from PyPI and npm
# On Debian 12 what is missing is installed by package name; it needs root or sudo only then.
# Elsewhere the missing packages are named and the build goes on with what the machine has.
# Changes nothing, prints nothing and takes a moment when everything is there.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }

installed() {
  status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) && [ "$status" = installed ]
}

# need_command COMMAND PACKAGE / need_package PACKAGE: adds the package to $missing if it is needed.
# A tool may come from anywhere; a library is taken from Debian, whose version is the tested one.
missing=
need_command() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need_package() { installed "$1" || missing="$missing $1"; }

collect_missing() {
  missing=
  for purpose in "$@"; do
    case $purpose in
      build)
        need_command g++ g++
        need_command cmake cmake
        need_command ninja ninja-build
        need_command python3 python3  # tests and checks
        need_command curl curl        # tests: the documented commands, verbatim
        need_command jq jq
        need_package python3-jsonschema  # tests: answers against /openapi.json
        need_package ca-certificates  # crates come over https
        for library in libboost1.81-dev libboost-json1.81-dev libcli11-dev libspdlog-dev \
          libfmt-dev libgtest-dev libssl-dev libxxhash-dev zlib1g-dev; do
          need_package "$library"
        done
        scripts/find_rust.sh cargo >/dev/null || missing="$missing cargo-web rustc-web"
        ;;
      format)
        need_command clang-format-14 clang-format-14
        scripts/find_rust.sh rustfmt >/dev/null || missing="$missing rustfmt-web"
        ;;
      fuzz)
        need_command clang++-14 clang-14
        need_package libclang-rt-14-dev
        ;;
      arm)
        need_command cmake cmake
        need_command ninja ninja-build
        need_command aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
        need_command qemu-aarch64 qemu-user
        for library in googletest libboost1.81-dev libspdlog-dev libfmt-dev; do
          need_package "$library"
        done
        ;;
      bench) need_package libbenchmark-dev ;;
      metrics) want_promtool=yes ;;
      clients)
        need_command python3 python3
        python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
        need_command chromium chromium
        [ -d /usr/share/fonts/opentype/noto ] || need_package fonts-noto-cjk
        ;;
      test) need_package python3-numpy ;;
      tidy) need_command clang-tidy-14 clang-tidy-14 ;;
      *)
        say "unknown purpose: $purpose" >&2
        exit 2
        ;;
    esac
  done
}

is_debian_12() {
  command -v apt-get >/dev/null 2>&1 && [ -r /etc/os-release ] &&
    grep -qx 'ID=debian' /etc/os-release && grep -qx 'VERSION_ID="12"' /etc/os-release
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# --no-remove: a package of the user's that stands in the way is theirs to remove.
apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq \
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null
}

install_missing() {
  log=build/setup.log
  mkdir -p build
  : >"$log"
  say "installing for: $* (Debian packages, log in $log):$missing"
  for attempt in 1 2 3; do
    # The lists come first only if they lack something: usually a try without costs nothing.
    # shellcheck disable=SC2086  # a list of words
    if apt install -y --no-install-recommends --no-remove $missing; then return 0; fi
    [ "$attempt" = 3 ] && break
    [ "$attempt" = 1 ] || sleep 10
    apt update || true
  done
  tail -n 20 "$log" >&2
  say "could not install:$missing" >&2
  exit 1
}

# Installed, the package would start a server.
fetch_promtool() {
  if command -v promtool >/dev/null 2>&1 || [ -x build/tools/usr/bin/promtool ]; then return 0; fi
  is_debian_12 || return 0
  say "fetching promtool (from Debian's package prometheus) into build/tools"
  mkdir -p build/tools
  if (cd build/tools && apt-get -qq download prometheus >/dev/null 2>&1) &&
    dpkg-deb -x build/tools/prometheus_*.deb build/tools/prometheus; then
    mkdir -p build/tools/usr/bin
    mv build/tools/prometheus/usr/bin/promtool build/tools/usr/bin/
  else
    say "no promtool: its test will be skipped"
  fi
  rm -rf build/tools/prometheus build/tools/prometheus_*.deb
}

main() {
  want_promtool=no
  collect_missing "$@"
  [ "$want_promtool" = no ] || fetch_promtool
  [ -n "$missing" ] || return 0
  if ! is_debian_12; then
    say "not Debian 12, so nothing is installed; going on without these packages or equals:$missing"
    return 0
  fi
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
    say "needs root; run: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  install_missing "$@"
}

main "$@"
