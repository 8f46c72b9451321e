#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs tests on the kernel that Debian ships (6.1 on Debian 12, the oldest that Culvert supports), in QEMU without
# KVM: tells whether they pass, never how fast. The guest sees this machine's files read-only, writes to its own
# memory, and has no network. Ends with the tests' status; CULVERT_KERNEL_MINUTES (20) bounds it.
# usage: scripts/kernel.sh [FILTER]   FILTER: as `swift test --filter` has it
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

filter=${1:-BPFProgramTests|NetlinkTests|FastPathTests|LabTests}
minutes=${CULVERT_KERNEL_MINUTES:-20}
[ "$(uname -m)" = x86_64 ] || die "only for x86-64 so far, not $(uname -m)" 69
need_packages "${test_packages[@]}" qemu-system-x86 busybox-static cpio kmod

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The kernel is unpacked, not installed: this machine's own boot is left alone.
package=$(apt-cache depends --important linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)/\1/p' | head -1)
[ -n "$package" ] || die "no linux-image-amd64 among the packages apt knows: run apt-get update" 69
kernel=$PWD/.build/kernel/$package
if [ ! -e "$kernel/complete" ]; then
  say "downloading $package"
  rm -rf "$kernel"
  mkdir -p "$kernel"
  (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package")
  dpkg-deb -x "$work"/linux-image-*.deb "$kernel"
  depmod -b "$kernel" "$(ls "$kernel/lib/modules")"
  touch "$kernel/complete"
fi
release=$(ls "$kernel/lib/modules")

# KVM where a guest gets as far as to miss its root with it, which turns it off; some machines' hangs long before.
machine=(-cpu max -smp 2 -m 3072 -nic none -display none -no-reboot -kernel "$kernel/boot/vmlinuz-$release")
accelerator=kvm
timeout 15 qemu-system-x86_64 -accel kvm "${machine[@]}" -serial null -append "panic=-1" < /dev/null 2> /dev/null ||
  accelerator=tcg,thread=multi

# The initramfs holds what it takes to mount the two shares; the kernel loads everything else from there by itself.
root=$work/initramfs
mkdir -p "$root"/{bin,dev,proc,host,memory,new}
cp "$(command -v busybox)" "$root/bin/busybox"
for command in sh mount mkdir insmod cp cat switch_root; do ln -s busybox "$root/bin/$command"; done
install -m 755 scripts/lib/kernel-init.sh "$root/init"
modprobe -d "$kernel" -S "$release" --show-depends -a virtio_pci 9pnet_virtio 9p overlay |
  sed -n 's/^insmod //p' | awk '!seen[$1]++ { print $1 }' |
  while read -r module; do
    cp "$module" "$root/"
    basename "$module" >> "$root/load"
  done
printf '%q ' "$PWD" "$filter" > "$root/arguments"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) > "$work/initramfs.gz"

share() { # NAME DIRECTORY
  printf '%s\0' -virtfs "local,path=$2,mount_tag=$1,security_model=none,readonly=on,multidevs=remap"
}
mapfile -d '' shares < <(share host / && share kernel "$kernel/lib/modules")

say "testing on Linux $release in QEMU by ${accelerator%%,*}, at most $minutes minutes"
ended=0
timeout --foreground "${minutes}m" qemu-system-x86_64 -accel "$accelerator" "${machine[@]}" "${shares[@]}" \
  -serial stdio -serial "file:$work/status" -initrd "$work/initramfs.gz" \
  -append "console=ttyS0 quiet panic=-1 mitigations=off" < /dev/null || ended=$?
[ "$ended" -ne 124 ] || die "not done after $minutes minutes" 124
status=$(tr -dc 0-9 < "$work/status")
[ -n "$status" ] || die "the guest ended before its tests did" 70
exit "$status"
