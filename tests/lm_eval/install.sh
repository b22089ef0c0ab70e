#!/bin/sh
# tests/lm_eval/install.sh: lm-eval at the versions of requirements.txt, in build/lm_eval/venv. A moment
# when up to date.
set -eu
cd "$(dirname "$0")"
site=../../build/lm_eval
venv=$site/venv
mkdir -p "$site"
if cmp -s requirements.txt "$venv/requirements.txt"; then exit 0; fi
echo "install: lm-eval into $venv (about 900 MB)"
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --no-deps --requirement requirements.txt >"$site/pip.log" 2>&1 </dev/null || {
  tail -n 20 "$site/pip.log" >&2
  exit 1
}
cp requirements.txt "$venv/requirements.txt"
