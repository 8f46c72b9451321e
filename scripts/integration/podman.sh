#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Podman with runc and the CNI plugins bridge, portmap and firewall, on a bridge with a VXLAN device made by hand.
# Called by scripts/integration.sh.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

p() {
  local host=$1
  shift
  on "$host" env CONTAINERS_CONF=/run/containers.conf podman --network-config-dir /run/cni-net --runtime runc \
    --cgroup-manager cgroupfs --storage-driver vfs "$@"
}

address() { p "$1" inspect "$2" -f '{{.NetworkSettings.Networks.net1.IPAddress}}'; }
declare -A container_pid
run() {
  p "$1" run -d --name "$2" --log-driver none --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 \
    --cgroup-parent /culvert-integration --network net1 -p 8080:80 --rootfs "$work/fs-$1" /bin/httpd -f -p 80 -h /www &&
    container_pid[$1]=$(p "$1" inspect "$2" -f '{{.State.Pid}}')
}
# In the network namespace of a host's container.
inside() {
  local host=$1
  shift
  on "$host" nsenter --net="/proc/${container_pid[$host]}/ns/net" "$@"
}
reach() { inside "$1" busybox ping -q -c 3 -i 0.2 -W 1 "$2" >/dev/null; }
is_data() { [ "$(sha256sum | cut -d' ' -f1)" = "$data_sum" ]; }
fetch() { inside "$1" busybox wget -q -O - "http://$2/data" | is_data; }

make_hosts
number=0
for host in a b; do
  number=$((number + 1))
  make_root "$work/fs-$host"
  on $host mkdir /run/cni-net
  on $host tee /run/containers.conf >/dev/null <<CONF
[network]
network_backend = "cni"
cni_plugin_dirs = ["/usr/lib/cni"]
[engine]
events_logger = "none"
CONF
  on $host tee /run/cni-net/net1.conflist >/dev/null <<CONF
{ "cniVersion": "0.4.0", "name": "net1", "plugins": [
  { "type": "bridge", "bridge": "cni1", "isGateway": true, "ipMasq": true, "mtu": 1450,
    "ipam": { "type": "host-local", "dataDir": "/run/cni-ipam", "routes": [{ "dst": "0.0.0.0/0" }],
      "ranges": [[{ "subnet": "198.19.30.0/24", "gateway": "198.19.30.$number",
        "rangeStart": "198.19.30.${number}0", "rangeEnd": "198.19.30.${number}9" }]] } },
  { "type": "portmap", "capabilities": { "portMappings": true } },
  { "type": "firewall" } ] }
CONF
done

step "a container on each host, and the CNI bridge with it"
for host in a b; do
  run $host c1 >"$work/out" 2>&1 || unavailable "podman run: $(tail -3 "$work/out")"
done
for host in a b; do
  other=$([ $host = a ] && echo b || echo a)
  on $host ip link add vx0 mtu 1450 type vxlan id 77 dev wire0 local "$(underlay $host)" remote "$(underlay $other)" dstport 4789
  on $host ip link set vx0 master cni1 up
done
address_a=$(address a c1)
address_b=$(address b c1)
for _ in $(seq 30); do ! reach a "$address_b" || break; done
fetch a "$address_b" || unavailable "the network does not carry a file without Culvert"

if on a test -e /proc/sys/net/bridge/bridge-nf-call-iptables; then
  step "the CNI plugins' own rules may translate bridged packets"
  status=0
  on a culvert up --overlay cni1 --detach >"$work/up" 2>&1 || status=$?
  [ $status -eq 69 ] || fail "up ended with $status: $(cat "$work/up")"
  grep -q 'bridge-nf-call-iptables = 1; set it to 0.*translates addresses' "$work/up" || fail "not named: $(cat "$work/up")"
  # What it says to do.
  for host in a b; do on $host sh -c 'echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables'; done
  proved "CNI's masquerading rules on bridged packets are named, with what to do, and the packets left to the kernel"
fi

for tier in tc xdp afxdp auto; do
  step "tier $tier on both hosts"
  # As what is sent in bulk is left to the kernel otherwise.
  bulk=
  case $tier in xdp | afxdp) bulk=--carry-bulk ;; esac
  for host in a b; do
    on $host culvert up --overlay cni1 --tier $tier $bulk --detach >"$work/up" 2>&1 || fail "up: $(cat "$work/up")"
  done
  reach a "$address_b" || fail "no ping"
  carried a "/proc/self/ns/net" fetch a "$address_b"
  carried b "/proc/self/ns/net" fetch b "$address_a"
  # The gateway's own address and the published port are the kernel's.
  reach a 198.19.30.1 || fail "the gateway is not reached"
  on b busybox wget -q -O - "http://$(underlay a):8080/data" | is_data || fail "the published port does not answer"
  for host in a b; do on $host culvert down >/dev/null; done
done
fetch a "$address_b" || fail "after down"
nothing_left
proved "on the CNI bridge, ping and checked TCP each way go by tc, xdp, afxdp and auto, and the gateway and a published port answer beside them"
