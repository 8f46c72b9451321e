#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reads the machine code of the forwarder's packet loop: everything that Forwarder.turn can call, directly or
# not, must be the data plane's own code or one of its two system calls. So the loop allocates nothing,
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
objdump -d --no-show-raw-insn "$binary" | awk '
  # "<name>:" begins a function; transfers to another function name it as "<name>" without an offset.
  /^[0-9a-f]+ <.*>:$/ { f = $2; gsub(/[<>:]/, "", f); known[f] = 1; next }
  $2 ~ /^(call|jmp|j[a-z]+|bl|b|b\.[a-z]+|blr|br|cbz|cbnz|tbz|tbnz)$/ {
    lines[f]++
    target = $NF
    if (target ~ /^<[^+>]*>$/) { gsub(/[<>]/, "", target); if (target != f) calls[f] = calls[f] " " target }
    else if ($2 ~ /^(call|blr)$/) calls[f] = calls[f] " an-address-at-run-time"
  }
  END {
    for (name in known) if (name ~ /9DataPlane9ForwarderV4turn/) queue[n++] = name
    if (n != 1) { print "error: " n + 0 " functions are Forwarder.turn" > "/dev/stderr"; exit 1 }
    for (i = 0; i < n; i++) {
      if (seen[queue[i]]++) continue
      count = split(calls[queue[i]], targets, " ")
      for (j = 1; j <= count; j++) {
        target = targets[j]
        if (target ~ /^culvert_xsk_kick_(receive|transmit)$/) continue
        if (target ~ /^\$s(9DataPlane|9XDPSocket)/) { queue[n++] = target; continue }
        print "error: " queue[i] " calls " target > "/dev/stderr"
        bad = 1
      }
    }
    for (name in seen) functions++
    if (bad) exit 1
    print functions " functions, none of which calls anything but each other and the kernel"
  }'
