// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import TestSupport
import Testing

/// `up`, `down`, `status` and `stats` as processes: what they survive, what they leave, and their exit statuses.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct ProcessTests {
  /// The messages are lost; packets are carried, and the end restores.
  @Test(arguments: ["2> /dev/full", "2> >(head -1 > /run/head)", "2> /run/full", "2>&-"])
  func upLivesOnWithoutItsMessages(messages: String) throws {
    try script(
      """
      culvert lab up vxlan
      features > /run/before
      # A reader that has stopped reading, behind a pipe that is full.
      mkfifo /run/full; exec 7<> /run/full
      dd if=/dev/zero bs=4096 count=16 iflag=fullblock >&7 2> /dev/null
      "$exe" up --overlay br0 --netns culvert-hostA --tier xdp \(messages) 7<&- & pid=$!
      until_ state ready
      # A change that it reports.
      ip -n culvert-hostA link set va1 nomaster
      until_ bash -c "! timeout 10 '$exe' status | grep -q va1"
      ip -n culvert-hostA link set va1 master br0
      until_ bash -c "timeout 10 '$exe' status | grep -q va1"
      # What was opened does not take the place of a stream that was closed.
      case "$(readlink /proc/$pid/fd/2)" in /dev/null|/dev/full|/run/full|pipe:*) ;; *) exit 9 ;; esac
      kill -TERM $pid
      until_ gone $pid
      rc 0 culvert status
      said 'no overlay'
      features | diff /run/before -
      """)
  }

  @Test func resultsThatCannotBeWrittenAreAnError() throws {
    try script(
      """
      culvert lab up bare
      for command in "probe eth0 --netns culvert-hostA" "status --json" "lab list" "down --json"; do
        rc 0 culvert $command
        status=0; "$exe" $command > /dev/full 2> /run/err || status=$?
        test $status = 1 || { echo "$command: $status"; exit 9; }
        grep -q 'write standard output: No space left on device (errno 28)' /run/err
      done
      """)
  }

  @Test func aSignalThatMeansNothingLeavesTheOthersHeard() throws {
    try script(
      """
      culvert lab up vxlan
      "$exe" up --overlay br0 --netns culvert-hostA & pid=$!
      until_ state ready
      kill -USR1 $pid
      rc 0 culvert status
      kill -USR1 $pid
      kill -TERM $pid
      until_ gone $pid
      test -z "$(ls /run/culvert/overlays)"
      """)
  }

  @Test func downsAtOnceAreAllContent() throws {
    try script(
      """
      culvert lab up vxlan
      up --detach
      pids=
      for i in 1 2 3 4; do "$exe" down --netns culvert-hostA > /run/down.$i 2>&1 & pids="$pids $!"; done
      for pid in $pids; do wait $pid; done
      test "$(cat /run/down.* | grep -c 'fast path stopped')" -ge 1
      ! grep -h 'process 0\\|error' /run/down.*
      rc 0 culvert down --netns culvert-hostA
      said 'nothing to end'
      """)
  }

  @Test func aStoppedProcessHidesNoOther() throws {
    try script(
      """
      culvert lab up vxlan
      up --detach
      culvert up --overlay br0 --netns culvert-hostB --detach --wait-for-traffic
      pid=$(owner)
      kill -STOP $pid
      rc 1 culvert status
      said "process $pid is stopped"
      said 'serving 1 of 1 port'
      rc 1 timeout 20 "$exe" down --all
      said "kill -CONT $pid"
      kill -CONT $pid
      rc 0 culvert down --all
      """)
  }

  @Test func anotherPIDNamespaceSeesItAlive() throws {
    try script(
      """
      culvert lab up vxlan
      up --detach
      unshare --pid --fork --mount-proc "$exe" status > /run/out
      said 'serving 1 of 1 port'
      unshare --pid --fork --mount-proc "$exe" stats > /run/out
      said 'va1 in'
      # One that is begun there is told, and does not take what is another's.
      rc 1 unshare --pid --fork --mount-proc "$exe" up --overlay br0 --netns culvert-hostA
      said 'serves it already'
      unshare --pid --fork --mount-proc "$exe" down --netns culvert-hostA > /run/out
      said 'fast path stopped'
      test -z "$(ls /run/culvert/overlays)"
      """)
  }

  /// Whoever only reads leaves a dead one's journal alone, also where its namespace is gone.
  @Test func readingDeletesNothing() throws {
    try script(
      """
      culvert lab up vxlan
      up --detach --tier xdp
      pid=$(owner)
      kill -9 $pid
      until_ gone $pid
      find /run/culvert -type f | sort > /run/before
      rc 1 culvert status
      said 'has died'
      said "log: /run/culvert/log/up-$pid.log"
      rc 1 culvert stats
      said 'culvert status'
      culvert lab list > /dev/null
      find /run/culvert -type f | sort | diff /run/before -
      # From a namespace that sees neither the process nor its namespace.
      unshare --pid --fork --mount-proc bash -c "umount -l /run/netns 2> /dev/null; '$exe' status; '$exe' stats" \\
        > /run/out 2>&1 || true
      find /run/culvert -type f | sort | diff /run/before -
      rc 0 culvert down --netns culvert-hostA
      said 'restored'
      test -z "$(find /run/culvert/overlays /run/culvert/log -type f)"
      """)
  }

  /// Docker's layout: bridge and VXLAN device in a namespace of their own (sandbox), with a container (inside), without
  /// which nothing need be changed at the uplink, and a destination, without which nothing need be served.
  private static let sandbox = """
    ip netns add sandbox
    ip -n culvert-hostA link add vx1 type vxlan id 77 local 198.18.0.1 remote 198.18.0.2 dstport 4790 dev eth0 noudpcsum
    ip -n culvert-hostA link set vx1 netns sandbox
    ip -n sandbox link add br1 type bridge
    ip -n sandbox link set vx1 master br1 up
    ip -n sandbox link set br1 up
    for family in ip ip6 arp; do
      ip netns exec sandbox sh -c "echo 0 > /proc/sys/net/bridge/bridge-nf-call-${family}tables"
    done
    ip netns add inside
    ip -n sandbox link add p0 mtu 1450 type veth peer name eth0 mtu 1450 netns inside
    ip -n sandbox link set p0 master br1 up; ip -n inside link set eth0 up
    mac=$(ip -n inside -o link show eth0 | sed 's/.*ether \\([0-9a-f:]*\\).*/\\1/')
    bridge -n sandbox fdb replace $mac dev p0 master static
    bridge -n sandbox fdb replace 02:00:5e:00:00:99 dev vx1 master static
    bridge -n sandbox fdb append 02:00:5e:00:00:99 dev vx1 dst 198.18.0.2 self
    """

  /// The sandbox's namespace goes while its fast path is dead. The uplink, in another one, is
  /// still owed its far end's settings.
  @Test func whatIsOwedOutsideOfAVanishedNamespaceIsRestored() throws {
    try script(
      """
      culvert lab up vxlan
      far() { "$exe" lab exec hostB -- ethtool -k eth0 | grep 'tx-checksum-ip-generic\\|generic-receive-offload'; }
      far > /run/before
      \(Self.sandbox)
      culvert up --overlay br1 --netns sandbox --tier xdp --detach --wait-for-traffic
      far > /run/during
      if cmp -s /run/before /run/during; then echo 'nothing was changed at the far end'; exit 9; fi
      pid=$(owner)
      kill -9 $pid
      until_ gone $pid
      ip netns del sandbox; ip netns del inside
      rc 1 culvert status
      far | diff /run/during -
      rc 0 culvert down
      far | diff /run/before -
      test -z "$(find /run/culvert/overlays -type f)"
      """)
  }

  /// Tier tc's veth pair between two namespaces outlives a killed process, and goes with what comes after it.
  @Test func aRelayThatWasLeftIsRemoved() throws {
    try script(
      """
      culvert lab up vxlan
      \(Self.sandbox)
      relay() { ip -n culvert-hostA -o link show type veth | grep -c ': cv' || true; }
      serve() { culvert up --overlay br1 --netns sandbox --tier tc --detach --wait-for-traffic; }
      killed() { pid=$(owner); kill -9 $pid; until_ gone $pid; test "$(relay)" = 1; }
      serve; killed
      rc 1 culvert status --netns sandbox
      said 'veth pair'
      rc 0 culvert down --netns sandbox
      said 'removed the veth pair'
      test "$(relay)" = 0
      # In place of it by the next, and by nobody where the namespace is gone: it took its end along.
      serve; killed
      serve; test "$(relay)" = 1
      killed
      ip netns del sandbox; ip netns del inside
      none() { test "$(relay)" = 0; }
      until_ none
      rc 0 culvert down
      test -z "$(find /run/culvert/overlays -type f)"
      """)
  }

  @Test func anEndThatNobodyAskedForLeavesATrace() throws {
    try script(
      """
      culvert lab up vxlan
      rc 0 up --detach
      said 'log /run/culvert/log/up-'
      pid=$(owner)
      test "$(cat /proc/$pid/comm)" = culvert
      vxlan=$(ip -n culvert-hostA -o link show type vxlan | awk -F': ' '{print $2}')
      ip -n culvert-hostA link del $vxlan
      until_ gone $pid
      rc 1 culvert status
      said "ended by itself at 20.*process $pid"
      said "$vxlan is gone"
      said "log: /run/culvert/log/up-$pid.log"
      grep -q "$vxlan is gone" /run/culvert/log/up-$pid.log
      rc 1 culvert status --json
      grep -q '"state" : "ended"' /run/out
      rc 0 culvert status --netns culvert-hostB
      rc 0 culvert down --netns culvert-hostB
      rc 1 culvert status
      rc 0 culvert down --netns culvert-hostA --json
      grep -q '"state" : "cleared"' /run/out
      rc 0 culvert status
      test -z "$(find /run/culvert/ended /run/culvert/log -type f)"
      """)
  }

  /// Of several: the process goes on, and its log stays for whoever asks what became of the one.
  @Test func anOverlayThatEndsBesideOthersLeavesATrace() throws {
    try script(
      """
      culvert lab up vxlan
      ip -n culvert-hostA link add vx1 type vxlan id 77 local 198.18.0.1 remote 198.18.0.2 dstport 4790 dev eth0 noudpcsum
      ip -n culvert-hostA link add br1 type bridge
      ip -n culvert-hostA link set vx1 master br1 up
      ip -n culvert-hostA link set br1 up
      rc 0 culvert up --overlay br0 --overlay br1 --netns culvert-hostA --detach
      pid=$(owner || true)
      ip -n culvert-hostA link del vx1
      ended() { timeout 10 "$exe" status > /run/ended || true; grep -q 'br1 .*ended by itself' /run/ended; }
      until_ ended
      rc 1 culvert status
      said 'serving 1 of 1 port'
      said 'br1 in culvert-hostA: ended by itself'
      said 'vx1 is gone'
      said "log: /run/culvert/log/up-$pid.log"
      grep -q 'vx1 is gone' /run/culvert/log/up-$pid.log
      kill -TERM $pid
      until_ gone $pid
      rc 1 culvert status
      said "log: /run/culvert/log/up-$pid.log"
      rc 0 culvert down --netns culvert-hostA
      said 'br1: it had ended by itself'
      rc 0 culvert status
      test -z "$(find /run/culvert/overlays /run/culvert/ended /run/culvert/log -type f)"
      """)
  }

  @Test func whatEndsAsAskedLeavesNone() throws {
    try script(
      """
      culvert lab up vxlan
      up --detach
      rc 0 culvert down --netns culvert-hostA
      up --detach
      pid=$(owner)
      kill -TERM $pid
      until_ gone $pid
      rc 0 culvert status
      test -z "$(find /run/culvert/overlays /run/culvert/log /run/culvert/ended -type f 2> /dev/null)"
      """)
  }

  /// A host as Linux ships it, where netfilter sees bridged packets, and a rule for them.
  @Test func aDetachedUpThatCanCarryNothingSaysWhy() throws {
    try script(
      """
      culvert lab up vxlan --as-shipped
      ip netns exec culvert-hostA nft 'add table ip t; add chain ip t c { type filter hook forward priority 0; }; add rule ip t c tcp dport 9 drop'
      features > /run/before
      rc 69 up --detach --tier xdp
      said 'serving 0 of 1 port'
      said 'bridge-nf-call-iptables'
      said 'wait-for-traffic'
      features | diff /run/before -
      test -z "$(ls /run/culvert/overlays)"
      rc 0 up --detach --tier xdp --wait-for-traffic
      rc 69 culvert status
      said 'serving 0 of 1 port'
      # The command that it names.
      eval "ip netns exec culvert-hostA $(sed -n 's/.*`\\(nft delete[^`]*\\)`.*/\\1/p' /run/out /run/err | head -1)"
      until_ culvert status
      rc 0 culvert status
      said 'forwarded by xdp'
      rc 0 culvert down --netns culvert-hostA
      features | diff /run/before -
      rc 64 up --wait-for-traffic
      """)
  }

  @Test func whatIsOverriddenIsNamed() throws {
    try script(
      """
      culvert lab up vxlan --as-shipped
      ip netns exec culvert-hostA nft 'add table ip t; add chain ip t c { type filter hook forward priority 0; }; add rule ip t c tcp dport 9 drop'
      rc 0 up --detach --bypass-policy
      said '--bypass-policy overrides: .*bridge-nf-call-iptables'
      rc 0 culvert status
      """)
  }

  @Test func refusalsHaveTheirStatuses() throws {
    try script(
      """
      culvert lab up vxlan
      rc 64 up --policy magic
      rc 64 up --outer-checksum sometimes
      up --detach --tier xdp
      rc 1 up
      said "Process $(owner) serves it already"
      rc 64 culvert lab exec a1
      rc 127 culvert lab exec a1 -- no-such-command
      rc 126 culvert lab exec a1 -- /etc/passwd
      rc 0 culvert lab list
      said 'a1 198.19.0.1'
      rc 0 culvert probe eth0 --netns culvert-hostA
      said "culvert's own program"
      """)
  }

  /// Whoever finds it, the parser or the command: an `error:` line, what to do next, and status 64.
  @Test func badInputIsToldInOneForm() throws {
    try script(
      """
      bad() { rc 64 culvert "$@"
        grep -q '^error: ' /run/err || { echo "$*: no error line"; cat /run/err; exit 9; }
        test "$(grep -c '^[^ ]' /run/err)" = 1 || { echo "$*: more than one line"; cat /run/err; exit 9; }
        test "$(wc -l < /run/err)" -ge 2 || { echo "$*: no next step"; cat /run/err; exit 9; }
        test ! -s /run/out; }
      bad lab up vxlan+foo
      bad lab up foo
      bad cost --parts foo
      bad cost --rounds 0
      bad cost table --entries 0
      bad ab --networks foo
      bad ab --workloads foo
      bad ab --sizes foo
      bad ab --fail-below foo
      bad ab --placement foo
      bad paper foo
      bad up --wait foo
      bad up --tier foo
      bad up --nonsense
      bad up extra
      bad stat
      bad report
      rc 0 culvert --help
      rc 0 culvert up --help
      rc 0 culvert --version
      """)
  }

  /// As ip(8): what only reads is for everybody.
  @Test func readingNeedsNoPrivileges() throws {
    try script(
      """
      culvert lab up vxlan
      up --detach
      # The binary's own folders may be closed to others.
      cp "$exe" /run/culvert-copy; chmod 755 /run/culvert-copy
      as() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
      as ldd /run/culvert-copy > /run/libraries 2>&1 && ! grep -q 'not found' /run/libraries || exit 0
      rc 0 as /run/culvert-copy status
      said 'serving 1 of 1 port'
      rc 0 as /run/culvert-copy stats
      rc 0 as /run/culvert-copy lab list
      rc 0 as /run/culvert-copy probe lo
      rc 77 as /run/culvert-copy down --netns culvert-hostA
      rc 77 as /run/culvert-copy lab exec a1 -- true
      rc 0 culvert status
      """)
  }
}
