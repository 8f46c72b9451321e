#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Counts the instructions that each step of the forwarder takes per packet, which repeats exactly where times
# do not, and holds them under the limits below.
# usage: scripts/instructions.sh [BINARY; default: a release build of this tree]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

need_packages binutils valgrind
binary=${1:-}
if [ -z "$binary" ]; then
  scripts/build.sh release --product culvert
  binary="$(swift build -c release --show-bin-path)/culvert"
fi

# Debian 12's valgrind cannot read this compiler's debug information.
plain=$(mktemp)
trap 'rm -f "$plain" "$plain.once"' EXIT
strip --strip-debug -o "$plain" "$binary"
chmod +x "$plain"

# Instructions of a whole run of so many turns: the same whatever else runs.
count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$plain" cost step "$1" --bytes "$2" --turns "$3" \
    2>&1 >/dev/null | awk '/Collected/ { print $NF; found = 1 } END { exit !found }'
}

burst=64
turns=200
failed=0
say "counting instructions per packet"
# Step, bytes of the frame, instructions per packet at most.
while read -r step bytes limit; do
  count "$step" "$bytes" $turns > "$plain.once" & shorter=$!
  twice=$(count "$step" "$bytes" $((2 * turns)))
  wait "$shorter"
  once=$(< "$plain.once")
  per=$(((twice - once + burst * turns / 2) / (burst * turns)))
  printf '%-12s %5s B %6s of at most %s\n' "$step" "$bytes" "$per" "$limit"
  [ "$per" -le "$limit" ] || failed=1
done <<'LIMITS'
touch 64 5
parse 64 40
look-up 64 54
encapsulate 64 220
complete 64 175
complete 1400 990
whole 64 310
LIMITS
[ "$failed" -eq 0 ] || die "a step takes more instructions than before: mend it, or raise its limit and say why"
