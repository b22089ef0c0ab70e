#!/bin/sh
# scripts/find_rust.sh cargo|rustfmt: prints the first one that is Rust 1.85 (the first to read the
# 2024 edition) or newer, of PATH, rustup's folder and the system's; fails if there is none.
set -eu

# cargo carries Rust's version number; rustfmt has its own, but knows the edition or refuses it.
recent() {
  case $1 in
    *rustfmt) "$1" --edition 2024 --version >/dev/null 2>&1 ;;
    *)
      version=$("$1" --version 2>/dev/null) || return 1
      version=${version#cargo }
      minor=${version#*.}
      [ "${version%%.*}" -gt 1 ] || [ "${minor%%.*}" -ge 85 ]
      ;;
  esac
}

for candidate in "$1" "${HOME:-/root}/.cargo/bin/$1" "/usr/bin/$1"; do
  if path=$(command -v "$candidate") && recent "$path"; then
    echo "$path"
    exit 0
  fi
done
exit 1
