#!/usr/bin/env bash
# Installs Kubernetes' clients, each from its lock file, into a cache outside the repository:
#   tests/clients/kubernetes/install.sh [python]
# Without a name, all whose runtime is there. WI_CLIENTS names another cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WI_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/wi-conformance/clients}
mkdir -p "$cache"

python() {
  python3 -m venv "$cache/kubernetes-python"
  "$cache/kubernetes-python/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/python/requirements.txt"
}

wanted=("$@")
if ((!${#wanted[@]})); then
  command -v python3 >/dev/null && wanted+=(python)
fi
for one in "${wanted[@]}"; do
  case $one in
    python) python ;;
    *)
      echo "tests/clients/kubernetes/install.sh: expected python, found $one" >&2
      exit 2
      ;;
  esac
  echo "installed $one in $cache"
done
