// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import TestSupport

/// Runs a bash script that must end well in a mount namespace with a /run of its own, with `culvert` as its command
/// and two hosts to try it on; returns its output.
@discardableResult
func script(_ body: String) throws -> String {
  let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let head = """
    set -euo pipefail
    mount -t tmpfs none /run
    exe="\(folder.path)/.build/\(Build.isDebug ? "debug" : "release")/culvert"
    culvert() { "$exe" "$@"; }
    # rc STATUS COMMAND …: it must end with that status; what it says is in /run/out and /run/err.
    rc() { local want=$1 got=0; shift; "$@" > /run/out 2> /run/err || got=$?
      test $got = $want || { echo "$*: status $got, not $want"; cat /run/out /run/err; exit 9; }; }
    said() { grep -q -- "$1" /run/out /run/err || { echo "not said: $1"; cat /run/out /run/err; exit 9; }; }
    # until_ COMMAND …: waits for it to be true, at most 20 s.
    until_() { local i; for i in $(seq 1000); do "$@" > /run/until 2>&1 && return 0; sleep 0.02; done
      echo "never: $*"; cat /run/until; exit 9; }
    state() { timeout 10 "$exe" status --json 2> /run/state.error | grep -q "\\"state\\" : \\"$1\\""; }
    gone() { ! kill -0 $1 2> /dev/null; }
    features() { culvert lab exec a1 -- ethtool -k eth0 | grep -v '^Features'; }
    up() { culvert up --overlay br0 --netns culvert-hostA "$@"; }
    owner() { timeout 10 "$exe" status --json | sed -n 's/.*"pid" : \\([0-9]*\\).*/\\1/p' | head -1; }
    # Also where the code is broken: nothing that was started here outlives the script.
    finish() { status=$?; timeout 10 "$exe" down --all > /dev/null 2>&1 || true
      for owner in /run/culvert/overlays/*/owner.json; do
        kill -9 $(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' "$owner" 2> /dev/null) 2> /dev/null || true; done
      timeout 10 "$exe" lab down > /dev/null 2>&1 || true; exit $status; }
    trap finish EXIT

    """
  let file = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-commands-\(UUID()).sh")
  try (head + body).write(to: file, atomically: true, encoding: .utf8)
  defer { try? FileManager.default.removeItem(at: file) }
  return try shell("unshare", "--mount", "--net", "bash", file.path)
}
