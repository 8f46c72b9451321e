#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures one `culvert up` that serves many overlays over one uplink: its start, memory, rest and end
# (docs/performance.md, "Many overlays"). All of it is made in namespaces of its own, and removed.
# usage: scripts/many-overlays.sh [OVERLAYS [PORTS of each [BINARY; default: a release build of this tree]]]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

overlays=${1:-50}
ports=${2:-20}
binary=${3:-}
idle_seconds=15
need_packages iproute2 procps
[ "$(id -u)" -eq 0 ] || die "run as root" 77
if [ -z "$binary" ]; then
  scripts/build.sh release --product culvert
  binary="$(swift build -c release --show-bin-path)/culvert"
fi

# The host, the far end of its uplink, and all containers.
host=cvmany-$$-h far=cvmany-$$-f containers=cvmany-$$-c
files=$(mktemp -d)
process=
clean_up() {
  [ -z "$process" ] || kill "$process" 2>/dev/null || true
  wait || true
  for namespace in "$host" "$far" "$containers"; do ip netns del "$namespace" 2>/dev/null || true; done
  rm -rf "$files"
}
trap clean_up EXIT

say "making $overlays overlays of $ports ports"
for namespace in "$host" "$far" "$containers"; do ip netns add "$namespace"; done
for key in iptables ip6tables; do ip netns exec "$host" sysctl -qw "net.bridge.bridge-nf-call-$key=0" || true; done
ip -n "$host" link add eth0 type veth peer name eth0 address 02:03:00:00:00:02 netns "$far"
ip -n "$far" link set eth0 up
ip -n "$host" address add 198.18.0.1/24 dev eth0
ip -n "$host" link set eth0 up
ip -n "$host" neighbour replace 198.18.0.2 lladdr 02:03:00:00:00:02 dev eth0 nud permanent
for i in $(seq "$overlays"); do
  far_mac=$(printf '02:02:00:00:%02x:01' "$i")
  {
    echo "link add br$i type bridge"
    echo "link add vx$i type vxlan id $((1000 + i)) dev eth0 local 198.18.0.1 dstport 4789 noudpcsum"
    echo "link set vx$i master br$i up"
    for j in $(seq "$ports"); do
      echo "link add p$i.$j type veth peer name p$i.$j netns $containers"
      echo "link set p$i.$j master br$i up"
      echo "link set p$i.$j up" >>"$files/ends"
    done
    echo "link set br$i up"
  } >"$files/links"
  {
    echo "fdb replace $far_mac dev vx$i dst 198.18.0.2 self permanent"
    echo "fdb replace $far_mac dev vx$i master static"
    for j in $(seq "$ports"); do printf 'fdb replace 02:01:00:00:%02x:%02x dev p%d.%d master static\n' "$i" "$j" "$i" "$j"; done
  } >"$files/fdb"
  ip -n "$host" -batch "$files/links"
  bridge -n "$host" -batch "$files/fdb"
done
ip -n "$containers" -batch "$files/ends"

now() { date +%s%N; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.1f s\n", (to - from) / 1e9 }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$process/stat"; }
memory() { awk -v name="$1:" '$1 == name { printf "%.0f MB\n", $2 / 1024 }' "/proc/$process/status"; }

begun=$(now)
"$binary" up --netns "$host" --tier tc >/dev/null 2>"$files/log" &
process=$!
wanted=$((overlays * ports))
until [ "$(grep -c ': tier tc, .*nothing changed' "$files/log")" -ge "$wanted" ] && grep -q ready "$files/log"; do
  kill -0 "$process" 2>/dev/null || die "it ended: $(tail -3 "$files/log")"
  [ $(($(now) - begun)) -lt 120000000000 ] || die "not every port is served after 120 s: $(tail -3 "$files/log")"
  sleep 0.05
done
echo "every port served after   $(since "$begun")"
sleep 5
before=$(ticks)
sleep "$idle_seconds"
awk -v ticks=$(($(ticks) - before)) -v seconds="$idle_seconds" -v hertz="$(getconf CLK_TCK)" \
  'BEGIN { printf "CPU while nothing happens %.1f %%\n", 100 * ticks / hertz / seconds }'
echo "largest resident size     $(memory VmHWM)"
begun=$(now)
"$binary" down --netns "$host" >/dev/null
echo "down                      $(since "$begun")"
