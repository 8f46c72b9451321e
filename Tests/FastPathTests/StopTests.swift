// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation
import Glibc
import LinuxSystem
import TestSupport
import Testing

/// What becomes of packets while a tier comes and goes, is stopped, or dies.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct StopTests {
  private func streams(_ overlay: TestOverlay) throws -> [Stream] {
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    return [try Stream(from: a1, to: b1), try Stream(from: b1, to: a1)]
  }

  /// Carried by `host`, both ways.
  private func isCarried(_ ports: [Stats.Port]) -> Bool {
    let names = ports.reduce(into: Set<String>()) { $0.formUnion($1.forwarded.keys) }
    return names.isSuperset(of: ["encapsulated", "decapsulated"])
  }

  @Test(arguments: Tier.allCases) func nothingIsLostAtDown(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    for _ in 0..<3 {
      let service = try overlay.start("a") { $0.tier = tier }
      let streams = try streams(overlay)
      #expect(try eventually { try isCarried(service.stats().ports) })
      for stream in streams { stream.pass(100) }
      try service.stop()
      for stream in streams { stream.pass(50) }
      for stream in streams {
        let (sent, lost) = stream.finish()
        #expect(lost.isEmpty, "\(lost.count) of \(sent): \(lost.prefix(50))")
      }
    }
  }

  private func stats(_ path: String) throws -> [Stats.Port] {
    let text = try shell(try DeathTests.culvert, "stats", "--json", "--netns", path)
    return try #require(try JSONDecoder().decode([Stats].self, from: Data(text.utf8)).first).ports
  }

  /// A process that the kernel lets run no more: the kernel's path carries on, and Culvert's when it runs again.
  @Test(arguments: [SIGSTOP, SIGKILL]) func theKernelCarriesOnForAProcessThatStandsStill(signal: Int32) throws
  {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let path = overlay.hosts["a"]!.path
    // A worker that is given every packet.
    let process = try DeathTests().up(overlay, "a", ["--tier", "afxdp", "--wait", "yield"])
    defer {
      kill(process, SIGCONT)
      _ = try? shell(DeathTests.culvert, "down", "--netns", path)
    }
    let streams = try streams(overlay)
    #expect(try eventually(10) { try isCarried(stats(path)) })
    for stream in streams { stream.pass(100) }
    kill(process, signal)
    #expect(eventually { state(process) != "running" })
    let resumed = streams.map { $0.next() }
    for stream in streams { stream.pass(300) }
    if signal == SIGSTOP {
      let before = try overlay.hosts["a"]!.shell("ip -s link show vx0")
      for stream in streams { stream.pass(10) }
      #expect(try overlay.hosts["a"]!.shell("ip -s link show vx0") != before, "by the kernel's device")
      kill(process, SIGCONT)
      #expect(try stats(path).contains { $0.passed["worker"] != nil })
      func forwarded() throws -> UInt64 {
        try stats(path).reduce(0) { $0 + $1.forwarded.values.reduce(0) { $0 + $1.packets } }
      }
      let then = try forwarded()
      #expect(try eventually(10) { try forwarded() >= then + 20 }, "carried again")
    }
    for (stream, resumed) in zip(streams, resumed) {
      let first = try #require(resumed, "it never went on")
      let (sent, lost) = stream.finish()
      #expect(
        lost.allSatisfy { $0 < first }, "nothing is lost once the kernel carries on: \(lost) of \(sent)")
      // Of a stopped one nothing is lost at all: what it was given it sends when it runs again.
      if signal == SIGSTOP { #expect(lost.isEmpty, "\(lost) of \(sent)") }
    }
  }

  private func state(_ process: Int32) -> String {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
      let letter = text[(text.lastIndex(of: ")") ?? text.startIndex)...].dropFirst(2).first
    else { return "gone" }
    return "TtZX".contains(letter) ? "still" : "running"
  }
}
