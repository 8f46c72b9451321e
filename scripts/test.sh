#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs every test; without arguments it also checks the machine code of
# the packet loop in a release build, counts its instructions,
# and runs the address sanitizer and the fuzzer. As root nothing is skipped.
# usage: scripts/test.sh [arguments of `swift test`, as --filter NAME]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

command -v swift >/dev/null || die "no Swift toolchain: install Swift 6.2 or newer from swift.org and put it on PATH" 69
need_packages "${build_packages[@]}" "${test_packages[@]}"
[ "$(id -u)" -eq 0 ] || say "not root: the tests that need namespaces or BPF are skipped, and say so"

before=$(ip netns list | sort)
links_before=$(ip -o link | awk -F': ' '{print $2}' | sort)
scripts/build.sh debug
say "testing"
# One at a time: the tests share two cores, and some count packets.
swift test --no-parallel "$@"
[ $# -gt 0 ] || { scripts/packet-loop.sh; scripts/instructions.sh; scripts/sanitize.sh; scripts/fuzz.sh 10; }

say "looking for leftovers"
after=$(ip netns list | sort)
[ "$before" = "$after" ] || die "network namespaces were left behind: $after"
[ "$links_before" = "$(ip -o link | awk -F': ' '{print $2}' | sort)" ] || die "interfaces were left behind in this namespace"
[ -z "$(ls -A /run/culvert/overlays 2>/dev/null)" ] || die "runtime directories were left behind: $(ls /run/culvert/overlays)"
[ -z "$(ls -A /run/culvert/labs 2>/dev/null)" ] || die "lab records were left behind: $(ls /run/culvert/labs)"
say "nothing left behind"
