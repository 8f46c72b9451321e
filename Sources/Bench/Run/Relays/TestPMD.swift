// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import Lab
import LinuxSystem
import SystemPackage

extension TierDriver {
  /// dpdk-testpmd on the first container's port and the uplink, as it comes: poll mode on a CPU of its own, forwarding
  /// mode io (frames are not looked at), one core, AF_XDP in copy mode.
  public static let testpmd = TierDriver(name: Network.testpmd.base) { host, cpu, _ in
    try TestPMD(host, cpu: cpu)
  }
}

/// The peer as a process in the host's namespace. It ends when its standard input does, so also when this process dies.
final class TestPMD: TierAttachment, @unchecked Sendable {
  static let program = "dpdk-testpmd"
  /// What it says once it forwards.
  private static let ready = "Press enter to exit"
  private static let readySeconds = 20
  private static let endSeconds = 10

  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()

  var obtained: String { "net_af_xdp copy" }
  func count() -> TierCount? { nil }

  /// Why it cannot run here; nil when it can.
  static func reasonToSkip() -> String? {
    let places = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    let isInstalled = places.contains { access("\($0)/\(program)", X_OK) == 0 }
    return isInstalled
      ? nil : "\(program) is not installed: apt-get install dpdk-dev librte-net-af-xdp23 (Debian 12)"
  }

  init(_ host: LabNode, cpu: Int) throws {
    let ports = RelayPorts(host)
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    // stdbuf: a pipe would keep back what it says.
    process.arguments = [
      "stdbuf", "-oL", Self.program, "--no-pci", "--no-huge", "-m", "256", "--no-telemetry", "--no-shconf",
      "--lcores=0@\(cpu == 0 ? CPU.count - 1 : 0),1@\(cpu)",
      "--vdev=net_af_xdp0,iface=\(ports.container),force_copy=1",
      "--vdev=net_af_xdp1,iface=\(ports.uplink),force_copy=1",
      "--", "--forward-mode=io", "--nb-cores=1", "--auto-start", "--total-num-mbufs=32768",
    ]
    // It makes a directory of its own and never removes it. With --no-shconf nothing is in it.
    let place = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-testpmd-\(UUID())")
    try FileManager.default.createDirectory(at: place, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: place) }
    process.environment = ProcessInfo.processInfo.environment.merging(["RUNTIME_DIRECTORY": place.path]) {
      $1
    }
    process.standardInput = input
    process.standardOutput = output
    process.standardError = output
    // A process is born into the namespace of the thread that spawns it.
    try host.run { try process.run() }
    do { try waitUntilReady() } catch {
      try? detach()
      throw error
    }
  }

  private func waitUntilReady() throws(Failure) {
    let descriptor = output.fileHandleForReading.fileDescriptor
    let limit = Clock.monotonicNanoseconds + UInt64(Self.readySeconds) * 1_000_000_000
    var said: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while Clock.monotonicNanoseconds < limit {
      var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard Glibc.poll(&poll, 1, 100) > 0 else { continue }
      let count = read(descriptor, &buffer, buffer.count)
      guard count > 0 else { break }
      said += buffer[..<count]
      if String(decoding: said, as: UTF8.self).contains(Self.ready) {
        return drain(descriptor)
      }
    }
    let last = String(decoding: said, as: UTF8.self).split(separator: "\n").suffix(3)
    throw Failure("start", Self.program, advice: "It said: \(last.joined(separator: " / "))")
  }

  /// What it says from now on is read by nobody: it must not wait for that.
  private func drain(_ descriptor: Int32) {
    output.fileHandleForReading.readabilityHandler = { handle in
      if handle.availableData.isEmpty { handle.readabilityHandler = nil }
    }
  }

  func detach() throws {
    try? input.fileHandleForWriting.close()
    for signal in [nil, SIGTERM, SIGKILL] {
      if let signal { kill(process.processIdentifier, signal) }
      let limit = Clock.monotonicNanoseconds + UInt64(Self.endSeconds) * 1_000_000_000
      while process.isRunning, Clock.monotonicNanoseconds < limit { usleep(10_000) }
      if !process.isRunning { return }
    }
    throw Failure("end", "\(Self.program), process \(process.processIdentifier)")
  }
}
