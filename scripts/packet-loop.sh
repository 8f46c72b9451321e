#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reads the machine code of the forwarder's packet loop: everything that Forwarder.turn can call, directly or
# not, must be the data plane's own code or one of its three system calls, or a clock. So the loop allocates nothing,
# counts no reference, throws nothing and initialises nothing lazily.
# usage: scripts/packet-loop.sh [BINARY; default: a release build of this tree]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

need_packages binutils
binary=${1:-}
if [ -z "$binary" ]; then
  scripts/build.sh release --product culvert
  binary="$(swift build -c release --show-bin-path)/culvert"
fi

say "reading the packet loop's machine code"
{
  nm -S --defined-only "$binary"
  objdump -d --no-show-raw-insn "$binary"
} | awk '
  function hex(text, value, place) {
    value = 0
    for (place = 1; place <= length(text); place++)
      value = 16 * value + index("0123456789abcdef", substr(text, place, 1)) - 1
    return value
  }
  # nm: address, size, type, name.
  NF == 4 && $1 ~ /^[0-9a-f]+$/ && $2 ~ /^[0-9a-f]+$/ && $3 ~ /^[tTwW]$/ { size[$4] = hex($2); next }
  # "<name>:" begins a function; what lies behind its size is another, without a name.
  /^[0-9a-f]+ <.*>:$/ {
    f = $2
    gsub(/[<>:]/, "", f)
    known[f] = 1
    end = hex($1) + size[f]
    next
  }
  $2 ~ /^(call|jmp|j[a-z]+|bl|b|b\.[a-z]+|blr|br|cbz|cbnz|tbz|tbnz)$/ {
    address = $1
    sub(/:$/, "", address)
    if (size[f] && hex(address) >= end) next
    target = $NF
    if (target ~ /^<.*>$/) {
      gsub(/[<>]/, "", target)
      offset = 0
      if (match(target, /\+0x[0-9a-f]+$/)) {
        offset = hex(substr(target, RSTART + 3))
        target = substr(target, 1, RSTART - 1)
      }
      # Into the middle of another function, or behind this one: nobody knows what that is.
      if (offset && (target != f || (size[f] && offset >= size[f]))) calls[f] = calls[f] " a-function-without-a-name"
      else if (target != f) calls[f] = calls[f] " " target
    } else if ($2 ~ /^(call|blr)$/) calls[f] = calls[f] " an-address-at-run-time"
  }
  END {
    for (name in known) if (name ~ /9DataPlane9ForwarderV4turn/) queue[n++] = name
    if (n != 1) { print "error: " n + 0 " functions are Forwarder.turn" > "/dev/stderr"; exit 1 }
    for (i = 0; i < n; i++) {
      if (seen[queue[i]]++) continue
      count = split(calls[queue[i]], targets, " ")
      for (j = 1; j <= count; j++) {
        target = targets[j]
        if (target ~ /^culvert_(xsk_kick_receive|xsk_kick_transmit|run_live_frames|monotonic_ns|thread_cpu_ns)$/) continue
        if (target ~ /^\$s(9DataPlane|9XDPSocket)/) { queue[n++] = target; continue }
        print "error: " queue[i] " calls " target > "/dev/stderr"
        bad = 1
      }
    }
    for (name in seen) functions++
    if (bad) exit 1
    print functions " functions, none of which calls anything but each other, the kernel and its clock"
  }'
