#!/bin/sh
# install.sh PYTHON FILE...: installs requirement files for the given Python.
#
# PyPI's torch for Linux is the CUDA build: gigabytes that a machine without a GPU has no use for.
# There the CPU build comes first, from PyTorch's own index; where that index cannot be reached,
# pip takes what it finds.  TORCH_BUILD=cpu or TORCH_BUILD=cuda decides instead of the look for a GPU.
set -eu

python=$1
shift

build=${TORCH_BUILD:-}
if [ -z "$build" ] && [ "$(uname -s)" = Linux ] && ! nvidia-smi >/dev/null 2>&1; then
    build=cpu
fi

if [ "$build" = cpu ]; then
    torch=$(grep '^torch==' requirements.txt)
    # --no-deps: the index also carries old versions of what torch depends on.
    "$python" -m pip install --no-deps --retries 1 --timeout 15 \
        --index-url https://download.pytorch.org/whl/cpu "$torch" ||
        echo "install.sh: no CPU build of $torch, taking the one pip finds" >&2
fi

for file in "$@"; do
    "$python" -m pip install -r "$file"
done
