# Set-up shared by tools/quickstart and tools/check: Debian packages, build/venv, the built tree. Sourced, not run.
# Each step is skipped when its result is there; a failed one ends the command with one sentence and a log file.

PRUNE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PRUNE_BUILD=$PRUNE_ROOT/build
PRUNE_LOGS=$PRUNE_BUILD/logs
PRUNE_PACKAGES="ca-certificates cmake ninja-build g++ ccache libeigen3-dev libgtest-dev zlib1g-dev libzstd-dev python3 python3-venv
  libmlir-22-dev mlir-22-tools llvm-22-dev llvm-22-tools clang-22 libomp-22-dev"

say() { printf '%s: %s\n' "$PRUNE_COMMAND" "$*"; }

# stop STEP SENTENCE [LOG]
stop() {
  printf '%s: %s failed: %s.%s\n' "$PRUNE_COMMAND" "$1" "$2" "${3:+ The log is $3}" >&2
  exit 1
}

# Why a logged command failed, in plain words; $2 if the log does not tell.
reason() {
  if grep -qiE 'no space left|not enough free disk|disk quota' "$1"; then
    echo "the disk is full"
  elif grep -qiE 'certificate.verify.failed|certificate verification failed' "$1"; then
    echo "a server's certificate is not trusted (behind a proxy, add its certificate to the system's)"
  elif grep -qiE 'could not resolve|temporary failure (in name|resolving)|name or service not known|network is unreachable|connection (refused|timed out|reset)|failed to establish a new connection|unable to connect|max retries exceeded|could not connect' "$1"; then
    echo "there is no network, or it does not reach the server"
  elif grep -qiE 'could not get lock' "$1"; then
    echo "another package manager is running"
  elif grep -qiE 'unable to locate package|has no installation candidate' "$1"; then
    echo "this system's package sources lack a package (Debian 12 with its security updates has them all)"
  elif grep -qiE 'permission denied|are you root' "$1"; then
    echo "permission denied"
  elif grep -qiE 'killed signal|out of memory|cannot allocate memory' "$1"; then
    echo "the machine ran out of memory"
  else
    echo "$2"
  fi
}

# step NAME LOG FALLBACK COMMAND...: runs a command into a log, with a sign of life.
step() {
  local name=$1 log=$PRUNE_LOGS/$2 fallback=$3 begin=$SECONDS pid shown=0
  shift 3
  say "$name ..."
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  trap 'kill $pid 2>/dev/null; exit 130' INT TERM
  while kill -0 $pid 2>/dev/null; do
    sleep 1
    if [ $((SECONDS - begin)) -ge $((shown + 20)) ]; then
      shown=$((SECONDS - begin))
      say "  ${shown} s: $(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)"
    fi
  done
  trap - INT TERM
  wait $pid || stop "$name" "$(reason "$log" "$fallback")" "$log"
}

check_disk() {
  local free
  free=$(df -Pk "$PRUNE_BUILD" | awk 'NR == 2 { print int($4 / 1024) }')
  [ "${free:-0}" -ge "$1" ] || stop "set-up" "the disk is full: $PRUNE_BUILD has $free MB free and needs $1 MB"
}

setup_packages() {
  local missing=() package
  for package in $PRUNE_PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || stop "install packages" "this is no Debian system (no apt-get)"
  [ "$(id -u)" -eq 0 ] || stop "install packages" "only root can install packages, and these are missing: ${missing[*]}"
  check_disk 6000
  step "update package lists" apt-update.log "apt-get update did not end well" \
    apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o APT::Update::Error-Mode=any update
  step "install ${#missing[@]} Debian packages" apt-install.log "apt-get install did not end well" \
    env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
    install -y --no-install-recommends "${missing[@]}"
}

setup_venv() {
  local venv=$PRUNE_BUILD/venv wanted
  wanted=$(cat "$PRUNE_ROOT/python/requirements.txt" <(/usr/bin/python3 -V) | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$venv/prune-requirements" 2>/dev/null)" != "$wanted" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    check_disk 2000
    step "make build/venv" venv.log "python3 -m venv did not end well" /usr/bin/python3 -m venv --clear "$venv"
    # The system's certificates: pip's own do not know those of a local proxy.
    step "install Python packages" pip.log "pip did not end well" \
      env PIP_CERT="${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$venv/bin/python" -m pip install --no-deps \
      --disable-pip-version-check --no-input --retries 5 -r "$PRUNE_ROOT/python/requirements.txt"
    echo "$wanted" >"$venv/prune-requirements"
  fi
  # The package is used from the source tree.
  echo "$PRUNE_ROOT/python" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/prune.pth"
}

# Intel's OpenCL runtime for processors, on which tests run kernels without a graphics processor. Its licence is Intel's
# own: a tool of the tests, part of nothing that is built. Without a network tests that need it are skipped.
setup_opencl() {
  local venv=$PRUNE_BUILD/opencl requirements=$PRUNE_ROOT/test/Integration/GPU/requirements.txt wanted
  wanted=$(sha256sum <"$requirements" | cut -d' ' -f1)
  [ "$(cat "$venv/prune-requirements" 2>/dev/null)" = "$wanted" ] && return
  check_disk 2000
  say "install the OpenCL runtime of the tests ..."
  if { /usr/bin/python3 -m venv --clear "$venv" &&
    PIP_CERT="${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$venv/bin/python" -m pip install --no-deps \
      --disable-pip-version-check --no-input --retries 5 -r "$requirements"; } >"$PRUNE_LOGS/opencl.log" 2>&1 </dev/null; then
    echo "$wanted" >"$venv/prune-requirements"
  else
    say "no OpenCL runtime: $(reason "$PRUNE_LOGS/opencl.log" "pip did not end well"); its tests are skipped ($PRUNE_LOGS/opencl.log)"
    rm -rf "$venv"
  fi
}

setup_build() {
  check_disk 2500
  if [ ! -f "$PRUNE_BUILD/build.ninja" ]; then
    step "configure" cmake.log "cmake did not end well" cmake -G Ninja -S "$PRUNE_ROOT" -B "$PRUNE_BUILD"
  fi
  # One compiler needs up to 1.5 GB.
  local jobs memory
  memory=$(awk '/MemAvailable/ { print int($2 / 1572864) }' /proc/meminfo)
  jobs=$(nproc)
  [ "$memory" -lt "$jobs" ] && jobs=$((memory > 0 ? memory : 1))
  step "build" ninja.log "the compiler reported an error" ninja -C "$PRUNE_BUILD" -j "${PRUNE_JOBS:-$jobs}" all "$@"
}

# setup COMMAND [ninja targets]: everything; ends the process here if PRUNE_SETUP_ONLY=1.
setup() {
  PRUNE_COMMAND=$1
  shift
  mkdir -p "$PRUNE_LOGS" 2>/dev/null || { PRUNE_LOGS=/tmp; stop "set-up" "cannot write to $PRUNE_BUILD"; }
  exec 9>"$PRUNE_BUILD/.setup-lock" || stop "set-up" "cannot write to $PRUNE_BUILD"
  flock -n 9 || { say "waiting for another set-up in this tree"; flock 9; }
  setup_packages
  setup_venv
  [ "$PRUNE_COMMAND" = tools/check ] && setup_opencl
  setup_build "$@"
  flock -u 9
  exec 9>&-
  if [ "${PRUNE_SETUP_ONLY:-0}" = 1 ]; then
    say "set-up complete"
    exit 0
  fi
}
