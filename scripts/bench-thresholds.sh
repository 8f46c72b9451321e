#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Holds docs/performance.md's "What is promised": one `culvert ab` a row, and every row of --quick for vxlan+auto.
# All are run, whatever one of them gives; the exit status is 2 if one was missed, 1 if one could not be measured.
# usage: scripts/bench-thresholds.sh [--quick-only] [arguments for the single rows; default --repeats 12 --duration 0.5]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces and BPF: run sudo scripts/bench-thresholds.sh" 77
only_quick=no
if [ "${1:-}" = --quick-only ]; then
  only_quick=yes
  shift
fi
scripts/build.sh release --product culvert >&2
culvert=$(swift build -c release --show-bin-path)/culvert
[ $# -gt 0 ] || set -- --repeats 12 --duration 0.5
options=("$@")
missed=0
failed=0

# Runs `ab`, and remembers how it ended.
run() {
  local status=0
  say "culvert ab $*"
  "$culvert" ab "$@" || status=$?
  case $status in
    0) ;;
    2) missed=1 ;;
    130) exit 130 ;;
    *) failed=1 ;;
  esac
}

# network, workload, ratio, and what selects the row
hold() {
  local network=$1 workload=$2 ratio=$3
  shift 3
  run --networks "$network" --workloads "$workload" "$@" "${options[@]}" --fail-below "$network:$workload:$ratio"
}

if [ $only_quick = no ]; then
  hold vxlan+tc tcp-stream 1.15 --sizes 65536 --offloads on
  hold vxlan+tc tcp-stream 1.15 --sizes 65536 --offloads on --outer-checksum on
  hold vxlan+tc tcp-stream 1.5 --sizes 65536 --offloads off
  hold vxlan+tc tcp-stream 1.2 --sizes 65536 --offloads off --ends sender
  hold vxlan+tc tcp-stream 1.0 --sizes 65536 --offloads off --ends receiver
  hold vxlan+xdp tcp-stream 1.4 --sizes 65536 --offloads off
  hold vxlan+xdp tcp-stream 1.0 --sizes 65536 --offloads off --ends sender
  hold vxlan+tc tcp-stream 1.0 --sizes 1400 --offloads both
  hold vxlan+afxdp udp-rr 0.83 --placement one-core
  run --networks vxlan+afxdp --workloads packet-rate:decap "${options[@]}" --fail-below vxlan+afxdp:overload:decap:0.9
  hold flannel+xdp packet-rate:encap 5 --baseline flannel --sizes 64
  hold flannel+xdp packet-rate:decap 5 --baseline flannel --sizes 64
  docker=(--as-shipped --baseline bridge --placement one-core)
  hold bridge+tc udp-rr 1.22 "${docker[@]}"
  hold bridge+tc tcp-rr 1.22 "${docker[@]}"
  hold bridge+tc tcp-stream 1.0 "${docker[@]}" --sizes 65536 --offloads on
fi
run --quick --fail-below vxlan+auto:all:0.95

[ $missed = 0 ] || { say "a threshold was missed: see below --fail-below above"; exit 2; }
[ $failed = 0 ] || die "a row could not be measured: see above" 1
say "every threshold is held"
