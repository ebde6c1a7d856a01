#!/bin/sh
# Measures an accelerator: benchmarks/accelerator.sh OUT WHEELS [options of python -m benchmarks.accelerator]
#
# It needs a python3 with jax for the device. WHEELS is a folder with wheels of whatever that Python lacks, since
# such a machine may have no network; WHEELS/rejax holds those that rejax alone needs. Nothing is installed into
# that Python: two virtual environments see its packages and add their own.
set -eu
out=$(realpath -m "$1")
wheels=$(realpath "$2")
shift 2
cd "$(dirname "$0")/.."
work=$(mktemp -d)

# environment NAME WHEEL...: a virtual environment with these wheels, whose packages come before python3's.
environment() {
    name=$1
    shift
    python3 -m venv --without-pip "$work/$name"
    python3 -m pip install -q --no-index --no-deps --no-compile --target "$(packages "$name")" "$@"
}
packages() {
    "$work/$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}
environment ours "$wheels"/*.whl
PYTHONPATH=$(packages ours) python3 -m pip install -q --no-index --no-deps --no-build-isolation \
    --target "$(packages ours)" .
environment rejax "$wheels"/rejax/*.whl
theirs=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$theirs" > "$(packages ours)/python3.pth"
printf '%s\n%s\n' "$(packages ours)" "$theirs" > "$(packages rejax)/python3.pth"
JAXRL_REJAX_PYTHON="$work/rejax/bin/python" exec "$work/ours/bin/python" -m benchmarks.accelerator "$out" "$@"
