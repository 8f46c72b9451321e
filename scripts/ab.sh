#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job in one command: installs what is missing, builds, and compares the kernel's
# VXLAN overlay with Culvert's fast path on it, in namespaces of its own.
# usage: scripts/ab.sh [arguments of `culvert ab`; default --quick]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces and BPF: run sudo scripts/ab.sh" 77
scripts/build.sh release --product culvert >&2
[ $# -gt 0 ] || set -- --quick
say "culvert ab $*"
exec "$(swift build -c release --show-bin-path)/culvert" ab "$@"
