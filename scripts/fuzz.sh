#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Feeds the parsers of what others write (netlink, packet headers, a container's frames, JSON) what libFuzzer makes
# up, under the address sanitizer. What crashes one is kept under .build/fuzz/found, with the command that repeats it.
# usage: scripts/fuzz.sh [SECONDS for each parser; default 10] [PARSER …]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

seconds=${1:-10}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- netlink headers frame json
library=$(find "$(dirname "$(readlink -f "$(command -v swift)")")/../lib/clang" -name "libclang_rt.fuzzer-$(uname -m).a" 2>/dev/null | head -1)
[ -n "$library" ] || die "this Swift toolchain has no libFuzzer for $(uname -m)" 69

say "building the fuzzer"
[ -d Sources/CBPFObjects/generated ] || scripts/build.sh debug
path=.build/fuzz
CULVERT_FUZZ=1 swift build --build-path "$path" --product culvert-fuzz --sanitize address \
  -Xswiftc -sanitize=fuzzer -Xswiftc -use-ld=lld
binary="$(CULVERT_FUZZ=1 swift build --build-path "$path" --show-bin-path)/culvert-fuzz"

mkdir -p "$path/found"
grown=$(mktemp -d)
trap 'rm -rf "$grown"' EXIT
# One parser on one CPU.
fuzz() {
  local parser=$1 seed
  seed=${CULVERT_TEST_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
  say "fuzzing $parser for $seconds s, seed $seed"
  mkdir "$grown/$parser"
  if ! CULVERT_FUZZ_PARSER=$parser "$binary" -seed="$seed" -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=2048 \
    -artifact_prefix="$path/found/$parser-" "$grown/$parser" "Tests/Fuzz/corpus/$parser" > "$grown/$parser.log" 2>&1; then
    tail -60 "$grown/$parser.log" >&2
    die "$parser: found one; repeat it with CULVERT_FUZZ_PARSER=$parser $binary $path/found/$parser-…"
  fi
  say "$parser: $(tail -1 "$grown/$parser.log")"
}

# As many at once as there are CPUs, and all to their end.
failed=0
while [ $# -gt 0 ]; do
  running=()
  while [ $# -gt 0 ] && [ ${#running[@]} -lt "$(nproc)" ]; do
    fuzz "$1" & running+=($!)
    shift
  done
  for process in "${running[@]}"; do wait "$process" || failed=1; done
done
exit "$failed"
