# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts: messages, and installing what is missing.
# Source it; it changes to the repository's root.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; exit "${2:-1}"; }

# need_packages PACKAGE…: installs the Debian packages that are not there yet.
need_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" -eq 0 ] || die "missing packages: ${missing[*]}; run: sudo apt-get install ${missing[*]}" 77
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

build_packages=(libbpf-dev libxdp-dev libelf-dev zlib1g-dev libnl-3-dev libnftables-dev linux-libc-dev libc6-dev pkg-config)
# iproute2 and the others are the tests' second opinion; Culvert itself runs none of them.
test_packages=(iproute2 ethtool tcpdump iputils-ping bpftool procps nftables iptables chromium)

# A clang that compiles for BPF: the Swift toolchain's, or Debian's.
bpf_clang() {
  local candidate
  for candidate in "${CULVERT_CLANG:-}" "$(dirname "$(readlink -f "$(command -v swift)")")/clang" clang clang-19 clang-16 clang-14; do
    [ -n "$candidate" ] || continue
    command -v "$candidate" >/dev/null || continue
    "$candidate" -print-targets 2>/dev/null | grep -qw bpf && { echo "$candidate"; return; }
  done
  need_packages clang
  echo clang
}
