#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs every test; without arguments it also checks the machine code of
# the packet loop in a release build, counts its instructions,
# and runs the address sanitizer and the fuzzer. As root nothing is skipped.
# usage: scripts/test.sh [arguments of `swift test`, as --filter NAME]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# Every test. The machine is shared with whatever else runs on it, so up to three that fail are run once more, alone;
# what passes then is named at the end, as unsteady. A run that crashed, or failed more widely, is not repeated.
unsteady=()
whole_run() {
  local log name
  log=$(mktemp)
  if swift test --no-parallel 2>&1 | tee "$log"; then rm "$log"; return; fi
  mapfile -t unsteady < <(sed -n 's/^✘ Test \([A-Za-z0-9_]*\)(.* failed after .*/\1/p' "$log" | sort -u)
  grep -q '^✘ Test run with ' "$log" || die "the run of the tests ended early: see above"
  rm "$log"
  [ ${#unsteady[@]} -ge 1 ] && [ ${#unsteady[@]} -le 3 ] || die "${#unsteady[@]} tests failed: ${unsteady[*]}"
  say "failed: ${unsteady[*]}; once more, alone"
  for name in "${unsteady[@]}"; do
    swift test --no-parallel --skip-build --filter "/$name\\(" || die "$name failed twice"
  done
}

command -v swift >/dev/null || die "no Swift toolchain: install Swift 6.2 or newer from swift.org and put it on PATH" 69
need_packages "${build_packages[@]}" "${test_packages[@]}"
[ "$(id -u)" -eq 0 ] || say "not root: the tests that need namespaces or BPF are skipped, and say so"

before=$(ip netns list | sort)
links_before=$(ip -o link | awk -F': ' '{print $2}' | sort)
scripts/build.sh debug
say "testing"
# One at a time: the tests share two cores, and some count packets.
if [ $# -gt 0 ]; then swift test --no-parallel "$@"; else whole_run; fi
[ $# -gt 0 ] || { scripts/packet-loop.sh; scripts/instructions.sh; scripts/sanitize.sh; scripts/fuzz.sh 10; }

say "looking for leftovers"
after=$(ip netns list | sort)
[ "$before" = "$after" ] || die "network namespaces were left behind: $after"
[ "$links_before" = "$(ip -o link | awk -F': ' '{print $2}' | sort)" ] || die "interfaces were left behind in this namespace"
[ -z "$(ls -A /run/culvert/overlays 2>/dev/null)" ] || die "runtime directories were left behind: $(ls /run/culvert/overlays)"
[ -z "$(ls -A /run/culvert/labs 2>/dev/null)" ] || die "lab records were left behind: $(ls /run/culvert/labs)"
say "nothing left behind"
[ ${#unsteady[@]} -eq 0 ] || say "UNSTEADY: ${unsteady[*]} failed in the whole run and passed alone; find out why"
