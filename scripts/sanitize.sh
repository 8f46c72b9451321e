#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs unit tests under the address sanitizer or the thread sanitizer, each a build of its own.
# usage: scripts/sanitize.sh [address|thread …; default address]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

[ $# -gt 0 ] || set -- address
for sanitizer in "$@"; do
  case $sanitizer in
  # Netlink, packets in memory, rings and tables. What has no memory of its own making is not here: JSON is the fuzzer's.
  address)
    [ -d Sources/CBPFObjects/generated ] || scripts/build.sh debug --product culvert
    targets=PacketHeadersTests,DataPlaneTests,NetlinkTests
    filter=${targets//,/|}
    ;;
  # What has threads: monitors, worker, agent, mailbox, control sockets, connections.
  thread)
    # Some start the command.
    scripts/build.sh debug --product culvert
    targets=
    filter='NetlinkTests\.MonitorTests|DataPlaneTests|TrafficTests'
    filter+='|FastPathTests\.(Agent|ConnectionFollower|Control|Lifecycle|Mailbox|SplitNamespace|Worker)Tests'
    # Not what starts a process again and again, or checks each byte: that takes minutes here.
    filter+='|StopTests/nothing|RoutedOverlayTests/[ilopr]'
    ;;
  *) die "unknown sanitizer $sanitizer: address or thread" 64 ;;
  esac
  say "testing under the $sanitizer sanitizer"
  # Debian 12's gold does not link what the address sanitizer leaves behind.
  ASAN_OPTIONS=detect_leaks=0:halt_on_error=1 \
    TSAN_OPTIONS="second_deadlock_stack=1:suppressions=$PWD/scripts/lib/thread-sanitizer.txt" \
    env ${targets:+CULVERT_TESTS="$targets"} swift test --build-path ".build/$sanitizer" --sanitize "$sanitizer" -Xswiftc -use-ld=lld --no-parallel \
    --filter "$filter"
done
