#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# Process 1 of the guest that scripts/kernel.sh starts, twice: in the initramfs, where it puts the root together, and
# then, with the repository and the filter as arguments, in that root, where it runs the tests and turns the guest off.

if [ $# -eq 0 ]; then
  mount -t devtmpfs dev /dev
  while read -r module; do insmod "/$module"; done < /load
  options=ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose
  mount -t 9p -o $options host /host
  mount -t tmpfs memory /memory
  mkdir /memory/upper /memory/work
  mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /new
  mount -t devtmpfs dev /new/dev
  mount -t proc proc /new/proc
  mount -t sysfs sys /new/sys
  mount -t tmpfs run /new/run
  mkdir -p /new/lib/modules
  mount -t 9p -o $options kernel /new/lib/modules
  cp /init /new/run/init
  cp /bin/busybox /new/run/busybox
  eval "set -- $(cat /arguments)"
  exec switch_root /new /bin/sh /run/init "$@"
fi

cd "$1" || exit
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI=1 TERM=dumb NO_COLOR=1
ip link set lo up
# Into the guest's memory: reading is quicker there, and whoever builds meanwhile does not change it.
touch -c .build/debug/culvertPackageTests.xctest .build/debug/culvert
# As on a host with Docker; nothing else asks for it.
modprobe br_netfilter
# What has no kernel in it and takes an emulated CPU minutes is left out.
.build/debug/culvertPackageTests.xctest --testing-library swift-testing --no-parallel --filter "$2" \
  --skip 'ForwardingMapTests/(isATable|holdsItsCapacity|movesMakeRoom|readersNeverMeetAnothers)'
echo $? > /dev/ttyS1
sync
/run/busybox poweroff -f
