#!/usr/bin/env bash
# Installs Kubernetes' clients, each from its lock file, into a cache outside the repository:
#   tests/clients/kubernetes/install.sh [client-go] [python]
# Without a name, all whose runtime is there. WI_CLIENTS names another cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WI_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/wi-conformance/clients}
mkdir -p "$cache"

client_go() {
  (cd "$here/client-go" && GOMAXPROCS=${GOMAXPROCS:-1} GOFLAGS='-mod=readonly -p=1' go build -o "$cache/kubernetes-client-go" .)
}

python() {
  python3 -m venv "$cache/kubernetes-python"
  "$cache/kubernetes-python/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/python/requirements.txt"
}

wanted=("$@")
if ((!${#wanted[@]})); then
  command -v go >/dev/null && wanted+=(client-go)
  command -v python3 >/dev/null && wanted+=(python)
fi
for one in "${wanted[@]}"; do
  case $one in
    client-go) client_go ;;
    python) python ;;
    *)
      echo "tests/clients/kubernetes/install.sh: expected client-go or python, found $one" >&2
      exit 2
      ;;
  esac
  echo "installed $one in $cache"
done
