// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import TestSupport
import Testing

@testable import Bench

/// `culvert ab` as a process: what it leaves however it ends, and its exit status.
@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct ProcessTests {
  /// Runs a bash script in a mount namespace with a /run of its own; `ab` is the command, as short as can be.
  @discardableResult
  private func isolated(_ script: String) throws -> String {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let configuration = Build.isDebug ? "debug" : "release"
    let head = """
      set -euo pipefail
      mount -t tmpfs none /run
      ab="\(folder.path)/.build/\(configuration)/culvert ab --quick --networks bare --workloads udp-rr"
      ab="$ab --placement one-core --repeats 2 --duration 0.05 --json /run/result.json"
      ended() { status=0; "$@" > /run/table 2> /run/error || status=$?; }

      """
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-ab-\(UUID()).sh")
    try (head + script).write(to: file, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: file) }
    return try shell("unshare", "--mount", "--net", "bash", file.path)
  }

  /// Interrupted by a user, and killed: a valid result of what was measured, no namespace, and it goes on.
  @Test(arguments: ["INT", "KILL"]) func aRunThatIsBrokenOffLeavesItsRowsAndNothingElse(signal: String) throws
  {
    let output = try isolated(
      """
      # A tier that is killed leaves its journal, for the next `up` or `down`.
      \(signal == "INT" ? "ab=${ab/bare/bare,vxlan+xdp}" : "")
      $ab --sizes 64,128,256,512,1024 > /run/table 2> /run/error & pid=$!
      until grep -q '"size" : 128' /run/result.json 2> /dev/null; do sleep 0.02; kill -0 $pid; done
      links=$(find /proc/$pid/fd -lname 'net:*' -printf '%l\\n' | sort -u)
      test "$(wc -w <<< "$links")" -ge 4
      # The shell may say at any time from here on that it was killed.
      { kill -\(signal) $pid; status=0; wait $pid || status=$?; } 2> /dev/null
      test $status = \(signal == "INT" ? 1 : 137)
      for link in $links; do
        holders=$(find /proc/[0-9]*/fd /proc/[0-9]*/ns -lname "${link//[/\\\\[}" 2> /dev/null || true)
        test -z "$holders" || { echo "held: $holders"; exit 9; }
      done
      test -z "$(find /run/netns /run/culvert -type f 2> /dev/null)"
      cat /run/result.json
      """)
    let report = try ABReport.decoded(Data(output.utf8))
    #expect(!report.complete)
    #expect(Set(report.results.map(\.size)).isSuperset(of: [64, 128]))
    #expect(!report.results.contains { $0.size == 1024 })
    #expect(report.results.first { $0.size == 64 }?.interrupted == nil)
  }

  @Test func resumingMeasuresTheRestAndRefusesOtherSettings() throws {
    let output = try isolated(
      """
      ended $ab --sizes 64; test $status = 0
      cp /run/result.json /run/first.json
      ended $ab --sizes 64,128 --resume; test $status = 0
      grep -q '2 rows (1 kept)' /run/error
      cp /run/result.json /run/second.json
      ended $ab --sizes 64,128 --resume --repeats 3; test $status = 64
      grep -q 'repeats: 2 there, 3 here' /run/error
      cmp /run/result.json /run/second.json
      ended ${ab/--json*} --resume; test $status = 64
      echo nonsense > /run/result.json
      ended $ab --resume; test $status = 64
      rm /run/result.json
      ended $ab --resume; test $status = 64
      cat /run/first.json
      echo ----
      cat /run/second.json
      """)
    let files = output.components(separatedBy: "----\n")
    let first = try ABReport.decoded(Data(files[0].utf8))
    let second = try ABReport.decoded(Data(files[1].utf8))
    #expect(second.complete)
    #expect(second.results.map(\.size) == [64, 64, 128, 128])
    #expect(Array(second.results.prefix(2)) == first.results)
  }

  @Test func missedThresholdsAreStatusTwoAndNamed() throws {
    try isolated(
      """
      ended $ab --fail-below bare:udp-rr:0.001; test $status = 0
      ended $ab --fail-below bare:udp-rr:0.001 --fail-below bare:udp-rr:1000; test $status = 2
      grep -q 'bare udp-rr 64 B .* 1000.0×' /run/error
      grep -q udp-rr /run/table
      ended $ab --fail-below nat:udp-rr:1; test $status = 64
      """)
  }
}
