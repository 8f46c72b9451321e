# SPDX-License-Identifier: Apache-2.0
# Docker engines on the hosts of lib.sh. Source it after that.

d() {
  local host=$1
  shift
  on "$host" docker "$@"
}

# engine HOST [OPTION …]: all addresses are of 198.18.0.0/15.
declare -A engine_pid
engine() {
  local host=$1 number=$([ "$1" = a ] && echo 0 || echo 1)
  shift
  start "$host" "$work/engine-$host.log" dockerd --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs \
    --cgroup-parent "/culvert-integration/$host" --bip "198.18.$((160 + number)).1/24" \
    --default-address-pool "base=198.18.$((176 + 16 * number)).0/20,size=24" "$@"
  engine_pid[$host]=$!
}

# Both run, and have an image of busybox that serves a file.
await_engines() {
  local host
  for host in a b; do
    for _ in $(seq 600); do
      d $host version >/dev/null 2>&1 && break
      kill -0 "${engine_pid[$host]}" 2>/dev/null || unavailable "the engine ended: $(tail -2 "$work/engine-$host.log")"
      sleep 0.1
    done
    d $host version >/dev/null || unavailable "the engine does not answer: $(tail -2 "$work/engine-$host.log")"
  done
  make_root "$work/root"
  tar -C "$work/root" -cf "$work/image" .
  rm -rf "$work/root"
  for host in a b; do d $host import -c 'CMD ["/bin/httpd","-f","-p","80","-h","/www"]' "$work/image" culvert:1 >/dev/null; done
  rm "$work/image"
}

# The network's hidden namespace on a host; Docker counts up when it makes it anew. The file of one that is gone stays for a while.
sandbox() {
  on "$1" sh -c 'id=$(docker network inspect "$1" -f "{{.Id}}" 2>/dev/null | cut -c1-10)
    [ -n "$id" ] || exit 0
    for path in /var/run/docker/netns/*-"$id"; do [ "$(stat -f -c %T "$path" 2>/dev/null)" != nsfs ] || echo "$path"; done | grep -v /lb_ | head -1' sh "$2"
}

container() { d "$1" run -d --name "$4" --network "$2" --ip "$3" culvert:1 >/dev/null; }
reach() { d "$1" exec "$2" ping -q -c 3 -i 0.2 -W 1 "$3" >/dev/null; }
fetch() { [ "$(d "$1" exec "$2" sh -c "wget -q -O - http://$3/data | sha256sum" | cut -d' ' -f1)" = "$data_sum" ]; }

# c1 on host a and c2 on host b reach each other, without Culvert.
works_alone() {
  container a net1 198.19.10.11 c1 || unavailable "no container: $(tail -3 "$work/engine-a.log")"
  container b net1 198.19.10.12 c2 || unavailable "no container: $(tail -3 "$work/engine-b.log")"
  for _ in $(seq 30); do ! reach a c1 198.19.10.12 || break; done
  reach a c1 198.19.10.12 || unavailable "Docker's own network does not carry a ping"
  fetch a c1 198.19.10.12 || unavailable "Docker's own network does not carry a file"
}

# serve HOST NETWORK [OPTION …]: until it is carried.
serve() {
  local host=$1 there
  there=$(sandbox "$1" "$2")
  shift 2
  on "$host" culvert up --overlay br0 --netns "$there" --detach "$@" >"$work/up" 2>&1 || fail "up on $host: $(cat "$work/up")"
}
release() { on "$1" culvert down --netns "$(sandbox "$1" "$2")" >/dev/null; }

both_carried() {
  reach a c1 198.19.10.12 || fail "no ping"
  carried a "$(sandbox a "$1")" fetch a c1 198.19.10.12
  carried b "$(sandbox b "$1")" fetch b c2 198.19.10.11
}
