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

# network NAME SUBNET [OPTION …]
declare -A network_id
network() {
  local name=$1 subnet=$2
  shift 2
  docker_does try_network "$name" "$subnet" "$@"
  network_id[$name]=$(d a network inspect "$name" -f '{{.Id}}' | cut -c1-10)
}
try_network() {
  local name=$1 subnet=$2
  shift 2
  d a network create -d overlay "$@" --subnet "$subnet" "$name" || d a network inspect "$name"
}

# The network's hidden namespace on a host; Docker counts up when it makes it anew. The file of one that is gone stays for a while.
sandbox() {
  on "$1" sh -c 'for path in /var/run/docker/netns/?-"$1"; do
      [ "$(stat -f -c %T "$path" 2>/dev/null)" != nsfs ] || echo "$path"
    done' sh "${network_id[$2]}"
}

# What Docker 20.10 itself gets wrong now and then, without Culvert, too: it asks its store from a thread that is still in another
# network namespace ("network is unreachable"), or does not find a network that is there. Asked again, then the part is begun anew.
docker_does() {
  local what
  for _ in $(seq 5); do
    ! "$@" >"$work/docker" 2>&1 || return 0
    sleep 1
  done
  what=$(grep -i error "$work/docker" | head -2)
  again "Docker itself fails: $* (${what:-$(tail -2 "$work/docker")})"
}
container() { docker_does try_container "$@"; }
try_container() {
  d "$1" run -d --name "$4" --network "$2" --ip "$3" culvert:1 && return
  # Of what was begun, name and address would be taken.
  d "$1" rm -f "$4" >/dev/null 2>&1 || true
  d "$1" network disconnect -f "$2" "$4" >/dev/null 2>&1 || true
  return 1
}
remove() { docker_does d "$1" rm -f "$2"; }
reach() { d "$1" exec "$2" ping -q -c 3 -i 0.2 -W 1 "$3" >/dev/null; }
fetch() { [ "$(d "$1" exec "$2" sh -c "wget -q -O - http://$3/data | sha256sum" | cut -d' ' -f1)" = "$data_sum" ]; }

# alone NETWORK SUBNET CONTAINER CONTAINER: one container on host a, SUBNET.11, and one on b, .12, reach each other without Culvert.
alone() {
  container a "$1" "$2.11" "$3"
  container b "$1" "$2.12" "$4"
  for _ in $(seq 30); do ! reach a "$3" "$2.12" || break; done
  reach a "$3" "$2.12" || unavailable "Docker's own network does not carry a ping"
  fetch a "$3" "$2.12" || unavailable "Docker's own network does not carry a file"
}

# both_carried NETWORK SUBNET CONTAINER CONTAINER: those of `alone`, each way.
both_carried() {
  reach a "$3" "$2.12" || fail "no ping"
  carried a "$(sandbox a "$1")" fetch a "$3" "$2.12"
  carried b "$(sandbox b "$1")" fetch b "$4" "$2.11"
}

# serve HOST [OPTION …]: until something is carried.
serve() {
  local host=$1
  shift
  # Files are sent in bulk, which tiers xdp and afxdp leave to the kernel otherwise.
  case " $* " in *" xdp "* | *" afxdp "*) set -- "$@" --carry-bulk ;; esac
  on "$host" culvert up --detach "$@" >"$work/up" 2>&1 || fail "up on $host: $(cat "$work/up")"
}
release() { on "$1" culvert down --all >/dev/null; }

# killed HOST [OPTION …]: the fast path there dies while files arrive on net1; each arrives whole, and the next `up` serves again.
killed() {
  local host=$1 fetching count=16
  shift
  d a exec c1 sh -c "for i in \$(seq $count); do wget -q -O - http://198.19.10.12/data | sha256sum; done" >"$work/sums" &
  fetching=$!
  until_ 30 test -s "$work/sums"
  on "$host" sh -c 'kill -9 $(pgrep -x culvert)'
  [ "$(wc -l <"$work/sums")" -lt $count ] || fail "all was there before the kill"
  wait $fetching || fail "a file did not arrive after the kill: $(cat "$work/sums")"
  [ "$(sort -u "$work/sums")" = "$data_sum  -" ] || fail "a file is not what was sent after the kill: $(cat "$work/sums")"
  serve "$host" "$@"
}
