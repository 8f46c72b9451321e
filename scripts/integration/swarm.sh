#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A swarm of two Docker engines with an attachable overlay network, and Culvert on it by every tier. Nothing is switched off or
# bypassed by hand. Called by scripts/integration.sh.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/engine.sh"

make_hosts
step "two engines, one swarm"
for host in a b; do engine $host; done
await_engines
d a swarm init --advertise-addr "$(underlay a)" --default-addr-pool 198.19.64.0/18 >"$work/out" 2>&1 || unavailable "no swarm: $(tail -3 "$work/out")"
d b swarm join --token "$(d a swarm join-token -q worker)" "$(underlay a):2377" >"$work/out" 2>&1 || unavailable "no swarm: $(tail -3 "$work/out")"

step "an attachable overlay network, by Docker alone"
network net1 198.19.10.0/24 --attachable
alone net1 198.19.10 c1 c2

for tier in tc xdp afxdp; do
  step "tier $tier on both hosts, in the network's namespace"
  for host in a b; do serve $host --tier $tier --overlay br0 --netns "$(sandbox $host net1)"; done
  both_carried net1 198.19.10 c1 c2
  for host in a b; do release $host; done
done
step "tier auto on both hosts, in all namespaces"
for host in a b; do serve $host --all-namespaces; done
both_carried net1 198.19.10 c1 c2
proved "on the swarm's network as Docker made it, ping and checked TCP each way go by tc, xdp, afxdp and auto, $data_bytes bytes each"

step "down, and the kernel's path carries on"
for host in a b; do release $host; done
fetch a c1 198.19.10.12 || fail "after down"
nothing_left
proved "after down nothing is left, and the network works as before"
