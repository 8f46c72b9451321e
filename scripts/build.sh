#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The one build command: BPF programs, then the Swift package around them.
# usage: scripts/build.sh [debug|release] [further arguments of `swift build`]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

configuration=${1:-release}
[ $# -gt 0 ] && shift
command -v swift >/dev/null || die "no Swift toolchain: install Swift 6.2 or newer from swift.org and put it on PATH" 69
need_packages "${build_packages[@]}"

out=Sources/CBPFObjects/generated
mkdir -p "$out"
clang=$(bpf_clang)
# The programs run on the machine that they are built for; x86 never reorders loads (bpf/lib/fdb.h).
order=()
[ "$(uname -m)" = x86_64 ] && order=(-DCULVERT_LOADS_IN_ORDER)
say "compiling bpf/ with $clang"
for source in bpf/*.bpf.c; do
  object=$out/$(basename "${source%.c}").o
  "$clang" -O2 -g -target bpf -mcpu=v3 -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter "${order[@]}" \
    -I"/usr/include/$(uname -m)-linux-gnu" -Ibpf -c "$source" -o "$object.new"
  # An unchanged object keeps its time, so that Swift does not build again.
  if cmp -s "$object.new" "$object"; then rm "$object.new"; else mv "$object.new" "$object"; fi
done

say "building culvert ($configuration)"
swift build -c "$configuration" "$@"
say "built $(swift build -c "$configuration" --show-bin-path)/culvert"
