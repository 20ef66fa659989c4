#!/bin/bash
# The parts of prune-bench that need Python, in build/venv, which is made first if it is missing. Called by prune-bench
# as `bench.sh BUILD_FOLDER COMMAND ...`; what is said on the way goes to stderr.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
PRUNE_COMMAND=prune-bench PRUNE_BUILD=$1 PRUNE_LOGS=$1/logs
shift
mkdir -p "$PRUNE_LOGS" 2>/dev/null || stop "set-up" "cannot write to $PRUNE_BUILD"
exec 9>"$PRUNE_BUILD/.setup-lock" || stop "set-up" "cannot write to $PRUNE_BUILD"
flock 9
setup_venv >&2
exec 9>&-
export PRUNE_BIN=$PRUNE_BUILD/bin
exec "$PRUNE_BUILD/venv/bin/python" -m prune.bench "$@"
