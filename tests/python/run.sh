#!/usr/bin/env bash
# Tests the Python package in an environment of its own. VENV: where that is, made at the first run; PYTHON: of which Python.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${VENV:-$root/.deps/python-tests}

for built in target/release/libpromem.so target/release/promem; do
    [ -e "$root/$built" ] || { echo "$built is not there; make build builds it" >&2; exit 1; }
done
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -c 'import numpy, pytest, hatchling' 2>/dev/null ||
    "$venv/bin/python" -m pip install -q --disable-pip-version-check numpy pytest hatchling
# Packages that have images, and what checks types. Their tests are skipped where Python is too old for these.
extras=(nibabel==5.4.2 SimpleITK==2.5.7 mypy==2.4.1)
"$venv/bin/python" -c 'import sys; sys.exit(sys.version_info >= (3, 10))' ||
    "$venv/bin/python" -c 'import nibabel, SimpleITK, mypy' 2>/dev/null ||
    "$venv/bin/python" -m pip install -q --disable-pip-version-check "${extras[@]}"
cd "$root"
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -m pytest -p no:cacheprovider -q --durations=5 tests/python "$@"
