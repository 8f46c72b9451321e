# SPDX-License-Identifier: Apache-2.0
# Shared by the parts of scripts/integration.sh: two hosts, and checks. Source it; the caller has network, mount and PID namespaces
# of its own.
# A host is a set of namespaces: network, mounts, processes, host name. So it has a /run and a /var/lib of its own, what it runs
# is called there as on a machine of its own, and `culvert up --all-namespaces` sees this host's namespaces only.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
. scripts/lib/common.sh
: "${CULVERT:?the binary to try}"
PATH=$(dirname "$CULVERT"):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# Seen by both hosts.
work=/mnt
mount -t tmpfs -o size=2g integration $work
declare -A host_pid

step() { printf '  %3d s  %s\n' $SECONDS "$*" >&2; }
proved() { printf '         proved: %s\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
# What a part cannot run on is no failure of Culvert's; it says why.
unavailable() {
  printf 'cannot run here: %s\n' "$*" >&2
  exit 69
}
# A fault of the other system's, which comes and goes: scripts/integration.sh begins the part anew, a few times. Had Culvert not run
# yet (74), the part cannot run here in the end; otherwise (75) it fails.
again() {
  printf '%s\n' "$*" >&2
  [ -e "$work/up" ] && exit 75 || exit 74
}

# on HOST COMMAND …
on() {
  local host=$1
  shift
  nsenter -t "${host_pid[$host]}" -n -m -u -p -- "$@"
}

# start HOST FILE COMMAND …: in the background, what it says in FILE.
start() {
  local host=$1 log=$2
  shift 2
  on "$host" "$@" >"$log" 2>&1 &
}

# until_ SECONDS COMMAND …: waits for it to succeed.
until_() {
  local deadline=$((SECONDS + $1))
  shift
  while ! "$@" >"$work/until" 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "never: $* ($(tail -3 "$work/until"))"
    sleep 0.1
  done
}

# Host NAME's first process; it collects what is left to it.
host() {
  unshare --net --mount --uts --pid --fork --kill-child --mount-proc bash -c '
    hostname "$1"
    for folder in /run /var/lib /etc/docker; do [ ! -d $folder ] || mount -t tmpfs -o mode=755 host $folder || exit; done
    mkdir -p /run/lock
    ip link set lo up
    echo ready >"$2"
    while :; do sleep 1000 & wait $!; done' host "culvert-$1" "$work/ready-$1" &
  local outer=$!
  until_ 20 test -s "$work/ready-$1"
  host_pid[$1]=$(pgrep -P $outer)
}

# The address of a host on the wire.
underlay() { [ "$1" = a ] && echo 198.18.150.1 || echo 198.18.151.1; }

# Hosts a and b, each at a router: this part's own network namespace. As in a machine, what runs on a host sees the namespace that
# its interface's far end lies in.
make_hosts() {
  local host address
  touch $work/wire
  mount --bind /proc/self/ns/net $work/wire
  for host in a b; do
    host $host
    address=$(underlay $host)
    ip link add wire-$host type veth peer name wire0 netns "${host_pid[$host]}"
    ip addr add "${address%.1}.254/24" dev wire-$host
    ip link set wire-$host up
    on $host ip addr add "$address/24" dev wire0
    on $host ip link set wire0 up
    on $host ip route add default via "${address%.1}.254"
  done
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

# The root file system of every container: busybox, and a file to fetch, whose sum is known.
data_bytes=$((16 << 20))
make_root() {
  local applet
  mkdir -p "$1"/{bin,tmp,etc,proc,sys,dev,run,www}
  cp /bin/busybox "$1/bin/"
  for applet in sh sleep seq ping wget sha256sum httpd; do ln -sf busybox "$1/bin/$applet"; done
  [ -s "$work/data" ] || head -c $data_bytes /dev/urandom >"$work/data"
  cp "$work/data" "$1/www/data"
  data_sum=$(sha256sum <"$work/data" | cut -d' ' -f1)
}

# forwarded HOST NETNS: bytes that the fast path has encapsulated and decapsulated there.
forwarded() {
  on "$1" culvert stats --netns "$2" --json |
    jq '[.. | objects | select(has("forwarded")) | .forwarded | (.encapsulated.bytes // 0), (.decapsulated.bytes // 0)] | add // 0'
}

# carried HOST NETNS COMMAND …: the command fetches the file. It must succeed each time, and soon the fast path of the host carries
# nearly all of it: a port's table may lag behind its container by a moment.
carried() {
  local host=$1 there=$2 before after deadline=$((SECONDS + 60))
  shift 2
  while :; do
    before=$(forwarded "$host" "$there")
    "$@" || fail "what came is not what was sent: $*"
    after=$(forwarded "$host" "$there")
    [ $((after - before)) -lt $((data_bytes * 9 / 10)) ] || return 0
    [ $SECONDS -lt $deadline ] ||
      fail "host $host forwarded $((after - before)) of $data_bytes bytes: $(on "$host" culvert status --netns "$there" 2>&1; on "$host" culvert stats --netns "$there" 2>&1)"
    sleep 0.3
  done
}

# Nothing of Culvert's is left on the hosts.
nothing_left() {
  local host what
  for host in a b; do
    what=$(on $host ls -A /run/culvert/overlays 2>/dev/null || true)
    [ -z "$what" ] || fail "left behind on $host: /run/culvert/overlays/$what"
    what=$(on $host ip -o link | grep ': cv' || true)
    [ -z "$what" ] || fail "left behind on $host: $what"
    what=$(on $host pgrep -ax culvert || true)
    [ -z "$what" ] || fail "still running on $host: $what"
  done
}

# On failure, what there is to look at; everything else goes with the namespaces.
finish() {
  local status=$? host
  if [ $status -ne 0 ] && [ $status -lt 64 ]; then
    set +e
    for host in "${!host_pid[@]}"; do
      echo "-- host $host:"
      timeout 5 nsenter -t "${host_pid[$host]}" -n -m -u -p -- sh -c 'culvert status; tail -n 20 /run/culvert/log/*.log'
    done 2>&1 | tail -80 >&2
  fi
  exit $status
}
trap finish EXIT
