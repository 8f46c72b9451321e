#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Culvert on real container systems: installs them, makes two hosts of namespaces, and lets each system make its own network
# on them. Each part has network, mount and PID namespaces of its own, so that nothing of this machine's network is touched, and all goes with
# the part's first process, also when it is killed.
# usage: scripts/integration.sh [docker] [swarm] [podman]        CULVERT=FILE: with that binary instead of a release build
# Status: 0 all passed; 1 something failed; 69 nothing failed, but a part cannot run here: it says why.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

[ "$(id -u)" -eq 0 ] || die "integration needs root: it makes namespaces and starts container engines" 77
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(docker swarm podman)
# Of everything; installing and building come out of it, and a part gets at most what is left, and its own limit.
limit=570

packages() {
  case $1 in
    docker) echo docker.io etcd-server ;;
    swarm) echo docker.io ;;
    podman) echo podman containernetworking-plugins runc ;;
    *) die "no part $1; there are: docker swarm podman" 64 ;;
  esac
}

# Debian starts what it installs; an engine in this machine's own namespace would change its network.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  [ ! -e $policy ] || return 0
  printf '#!/bin/sh\n# of scripts/integration.sh\nexit 101\n' >$policy
  chmod +x $policy
}
child=
clean() {
  [ -z "$child" ] || kill -9 "$child" 2>/dev/null || true
  ! grep -qs 'of scripts/integration.sh' $policy || rm -f $policy
  # The processes in them are gone; a moment later the kernel lets them go, too.
  for _ in $(seq 50); do
    find /sys/fs/cgroup -depth -type d -path '*/culvert-integration*' -exec rmdir {} + 2>/dev/null || true
    [ -n "$(find /sys/fs/cgroup -maxdepth 2 -name culvert-integration)" ] || return 0
    sleep 0.1
  done
  echo "error: control groups were left behind: $(find /sys/fs/cgroup -maxdepth 2 -name culvert-integration)" >&2
  return 1
}
trap clean EXIT
trap 'exit 143' TERM INT HUP

declare -A result
for part in "${parts[@]}"; do packages "$part" >/dev/null; done
forbid_services
need_packages iproute2 iptables nftables jq busybox-static procps util-linux || die "cannot run here: packages are missing" 69
unshare --net --mount --pid --fork --kill-child --mount-proc true || die "cannot run here: this machine gives no namespaces" 69
for part in "${parts[@]}"; do
  # shellcheck disable=SC2046
  (need_packages $(packages "$part")) || result[$part]="cannot run here: $(packages "$part") cannot be installed"
done
if [ -z "${CULVERT:-}" ]; then
  scripts/build.sh release
  CULVERT=$(swift build -c release --show-bin-path)/culvert
fi
CULVERT=$(readlink -f "$CULVERT")
export CULVERT

# Process 1 of a part is timeout: with it, all processes of the part end, and with them its namespaces.
run() {
  local code=0
  setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc \
    timeout --kill-after=10 "$2" bash "scripts/integration/$1.sh" &
  child=$!
  wait $child || code=$?
  child=
  return $code
}

status=0
for part in "${parts[@]}"; do
  for attempt in 1 2 3; do
    [ -z "${result[$part]:-}" ] || break
    left=$((limit - SECONDS))
    [ $left -le 240 ] || left=240
    [ $left -ge 120 ] || { result[$part]="not run: $left s left of $limit s"; break; }
    say "integration: $part (at most $left s)"
    code=0
    run "$part" "$left" || code=$?
    case $code in
      0) result[$part]=passed ;;
      69) result[$part]="cannot run here, see above" ;;
      74 | 75)
        [ $attempt -lt 3 ] && continue
        [ $code -eq 74 ] && result[$part]="cannot run here, see above" || result[$part]="failed: thrice begun, see above"
        ;;
      124 | 137) result[$part]="failed: not done after $left s" ;;
      *) result[$part]="failed (status $code)" ;;
    esac
  done
  case ${result[$part]} in
    passed) ;;
    failed*) status=1 ;;
    *) [ $status -ne 0 ] || status=69 ;;
  esac
done
trap - EXIT
clean || status=1
for part in "${parts[@]}"; do say "integration, $part: ${result[$part]}"; done
exit $status
