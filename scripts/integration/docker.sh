#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two Docker engines with an overlay network of their own (key-value store), and Culvert on it by every tier. Nothing is
# switched off or bypassed by hand. Called by scripts/integration.sh.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/engine.sh"

make_hosts
step "etcd and two engines"
address=$(underlay a)
start a "$work/etcd.log" etcd --name culvert --data-dir /run/etcd --enable-v2 \
  --listen-client-urls "http://$address:2379" --advertise-client-urls "http://$address:2379" \
  --listen-peer-urls "http://$address:2380" --initial-advertise-peer-urls "http://$address:2380" \
  --initial-cluster "culvert=http://$address:2380"
etcd=$!
for _ in $(seq 300); do
  on b busybox wget -q -O - "http://$address:2379/health" 2>/dev/null | grep -q true && break
  kill -0 $etcd 2>/dev/null || unavailable "etcd ended: $(tail -2 "$work/etcd.log")"
  sleep 0.1
done
for host in a b; do
  engine $host --cluster-store="etcd://$address:2379" --cluster-advertise="$(underlay $host):2376"
done
await_engines

step "two overlay networks, by Docker alone"
network net1 198.19.10.0/24
network net2 198.19.20.0/24
for network in net1 net2; do until_ 60 d b network inspect $network; done
alone net1 198.19.10 c1 c2
alone net2 198.19.20 c3 c4

for tier in tc xdp afxdp; do
  step "tier $tier on both hosts, in all namespaces"
  for host in a b; do serve $host --all-namespaces --tier $tier; done
  both_carried net1 198.19.10 c1 c2
  both_carried net2 198.19.20 c3 c4
  killed b --all-namespaces --tier $tier
  both_carried net1 198.19.10 c1 c2
  for host in a b; do release $host; done
done
proved "on Docker's networks as Docker made them, two over one wire, ping and checked TCP each way go by tc, xdp and afxdp, $data_bytes bytes each"
proved "kill -9 in the middle loses no file, and the next up serves the same networks again"

step "README's own lines on both hosts"
lines=$(sed -n '/^### Docker/,/^##* [^D]/p' README.md | sed -n '/^```$/,/^```$/p' | sed '/^```$/d')
[ "$(wc -l <<<"$lines")" -gt 1 ] || fail "README has no lines for Docker"
# `status` may still say that an address is not known yet.
for host in a b; do on $host bash -uc "$lines" >"$work/up" 2>&1 || true; done
both_carried net1 198.19.10 c1 c2
both_carried net2 198.19.20 c3 c4
proved "README's lines, as they stand, have both networks carried"

step "a container is stopped and started, another stays"
container b net1 198.19.10.22 c9
until_ 60 reach b c9 198.19.10.11
docker_does d b restart -t 0 c2
until_ 60 reach a c1 198.19.10.12
both_carried net1 198.19.10 c1 c2
carried b "$(sandbox b net1)" fetch b c9 198.19.10.11
proved "a restarted container and its neighbour are carried"

step "a container moves to the other host and is reached there"
remove b c2
container a net1 198.19.10.12 c2
until_ 60 reach a c1 198.19.10.12
fetch a c1 198.19.10.12 || fail "what came from the container that moved is not what was sent"
until_ 60 reach b c9 198.19.10.12
carried b "$(sandbox b net1)" fetch b c9 198.19.10.12
proved "a container with the same addresses is reached at its new place, from both hosts"
remove a c2

step "the sandbox goes with the last container of host b, and comes back under another name"
old=$(sandbox b net1)
remove b c9
is_gone() { [ -z "$(sandbox b net1)" ]; }
until_ 60 is_gone
# Under new addresses: Docker keeps telling that those of a container that moved are on host a, without Culvert, too.
container b net1 198.19.10.32 c2
until_ 60 reach a c1 198.19.10.32
new=$(sandbox b net1)
[ "$new" != "$old" ] || fail "Docker made the sandbox anew as $new"
carried b "$new" fetch b c2 198.19.10.11
carried a "$(sandbox a net1)" fetch a c1 198.19.10.32
both_carried net2 198.19.20 c3 c4
proved "nobody told Culvert, and the network is carried in ${new##*/} as it was in ${old##*/}, the other one all along"

step "a third network is made"
network net3 198.19.30.0/24
until_ 60 d b network inspect net3
container a net3 198.19.30.11 c5
container b net3 198.19.30.12 c6
until_ 60 reach a c5 198.19.30.12
both_carried net3 198.19.30 c5 c6
proved "nobody told Culvert, and a network made after it is carried"

step "down, and the kernel's path carries on"
for host in a b; do release $host; done
fetch a c1 198.19.10.32 || fail "after down"
nothing_left
proved "after down nothing is left, and the networks work as before"
