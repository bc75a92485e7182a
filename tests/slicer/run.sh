#!/usr/bin/env bash
# Tests the 3D Slicer part without Slicer: on the MRML of slicer-core, in two environments of two versions, made at the first run.
# DEPS: where they are; PYTHON: of which Python, 3.11; ONLY=5.11 or 5.12: one of them. --make only makes them. Other arguments go to pytest.
# BROWSER=1 adds the viewer's tests in Chromium, which take minutes.
# What an environment lacks is skipped and named; PROMEM_REQUIRE_ALL=1 makes that a failure in 5.11, which has everything.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
deps=${DEPS:-$root/.deps}

# slicer-core comes with what it is pinned to; vtk is that of both.
packages_5_11=(
    "trame-slicer[standalone]==2.0.0" slicer-core==5.11.0.6 vtk==9.6.0 PySide6-Essentials==6.12.0
    numpy==2.4.6 nibabel==5.4.2 playwright==1.65.2 pytest==9.2.0
)
packages_5_12=(slicer-core==5.12.4.0 vtk==9.6.0 numpy==2.4.6 pytest==9.2.0)

make_environment() { # version, packages
    local environment=$deps/slicer-$1
    shift
    [ -e "$environment/.ready" ] && return
    [ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
    "$environment/bin/python" -m pip install -q --disable-pip-version-check "$@"
    "$environment/bin/python" -c 'import numpy, pytest, slicer; slicer.vtkMRMLScene()'
    touch "$environment/.ready"
}

run() { # version, tests
    local environment=$deps/slicer-$1
    echo "slicer-core of $1:"
    shift
    "$environment/bin/python" -m pytest -p no:cacheprovider -q -rs --durations=5 "$@"
}

cd "$root"
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 QT_QPA_PLATFORM=offscreen
[ "${ONLY:-5.11}" != 5.11 ] || make_environment 5.11 "${packages_5_11[@]}"
[ "${ONLY:-5.12}" != 5.12 ] || make_environment 5.12 "${packages_5_12[@]}"
[ "${1:-}" != --make ] || exit 0

browser=()
[ "${BROWSER:-0}" = 1 ] || browser=(--ignore-glob '*/test_viewer_*.py')
if [ "${ONLY:-5.11}" = 5.11 ]; then
    run 5.11 tests/slicer "${browser[@]}" "$@"
fi
if [ "${ONLY:-5.12}" = 5.12 ]; then
    shopt -s nullglob
    unset PROMEM_REQUIRE_ALL
    run 5.12 tests/slicer/test_scene*.py tests/slicer/test_worker*.py "$@"
fi
