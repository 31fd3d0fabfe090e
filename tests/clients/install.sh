#!/usr/bin/env bash
# Installs the programs of tests/clients, each from its lock file, into a cache outside the repository:
#   tests/clients/install.sh [python] [javascript] [go] [java] [azure-cli]
# Without a name, all whose runtime is there. WI_CLIENTS names another cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WI_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/wi-conformance/clients}
mkdir -p "$cache"

python() {
  python3 -m venv "$cache/python"
  "$cache/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/python/requirements.txt"
}

azure-cli() {
  python3 -m venv "$cache/azure-cli"
  "$cache/azure-cli/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/azure-cli/requirements.txt"
}

javascript() {
  mkdir -p "$cache/javascript"
  cp "$here"/javascript/{package.json,package-lock.json,main.mjs} "$cache/javascript/"
  npm --prefix "$cache/javascript" ci --ignore-scripts --no-audit --no-fund --silent
}

go() {
  mkdir -p "$cache/go"
  (cd "$here/go" && GOMAXPROCS=${GOMAXPROCS:-1} GOFLAGS='-mod=readonly -p=1' command go build -o "$cache/go/clients" .)
}

java() {
  mkdir -p "$cache/java"
  mvn -q -B -f "$here/java/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/java/lib"
  javac -J-XX:TieredStopAtLevel=1 -d "$cache/java/classes" -cp "$cache/java/lib/*" "$here/java/src/main/java/Main.java"
}

wanted=("$@")
if ((!${#wanted[@]})); then
  command -v python3 >/dev/null && wanted+=(python azure-cli)
  command -v npm >/dev/null && wanted+=(javascript)
  command -v go >/dev/null && wanted+=(go)
  command -v mvn >/dev/null && command -v javac >/dev/null && wanted+=(java)
fi
for one in "${wanted[@]}"; do
  case $one in
    python | javascript | go | java | azure-cli) "$one" ;;
    *)
      echo "tests/clients/install.sh: expected python, javascript, go, java or azure-cli, found $one" >&2
      exit 2
      ;;
  esac
  echo "installed $one in $cache"
done
