// SPDX-License-Identifier: Apache-2.0
import Glibc
import Lab
import LinuxSystem
import Traffic

/// Trials of more than one flow between two ends.
extension LabArena {
  /// The ends are a container each; on the hosts' own network as many processes there.
  func allToAll(_ cell: Cell, _ arrangement: Arrangement, _ path: Path, _ stage: Stage) throws(Failure)
    -> Sample
  {
    let together = cell.measure.together!
    let near = cell.span == .oneHost ? together : cell.span == .oneToMany ? 1 : together / 2
    func stations(_ host: LabHost, _ count: Int, cpu: Int) -> [Station] {
      let nodes =
        arrangement.network.isOfHosts
        ? Array(repeating: stage.lab.host(host), count: count)
        : Array(stage.lab.containers(of: host).prefix(count))
      return nodes.enumerated().map { index, node in
        // On one host they share its CPUs.
        let shared = cell.span == .oneHost && cell.placement == .twoCore
        return stage.station(node).pinned(to: shared ? index % 2 : cpu)
      }
    }
    let all =
      stations(.a, near, cpu: cell.placement.clientCPU)
      + stations(.b, together - near, cpu: cell.placement.serverCPU)
    let report = try AllToAll(size: cell.size, timing: settings.timing).run(all, port: path.port)
    return Sample(report)
  }

  /// From nothing to a container whose ping was answered. A tier that is there takes the container's port up beside
  /// that; when it has is told too.
  func launch(_ arrangement: Arrangement, _ path: Path, _ stage: Stage) throws -> Sample {
    var client = path.client
    var parts: [(name: String, nanoseconds: UInt64)] = []
    var port: String?
    let begin: UInt64
    var launched: LaunchedContainer?
    // In the host's namespace there is nothing to make.
    if !arrangement.network.isOfHosts {
      let made = try stage.lab.launchLast(on: .a)
      parts = made.parts
      client = try Station(
        name: made.node.name, namespace: SharedNamespace(made.node.namespace.duplicate()),
        ipv4: made.node.address)
      port = made.node.hostPort
      launched = made
    }
    begin = Clock.monotonicNanoseconds
    var server = path.server
    // Its own loopback is all that it has.
    if arrangement.network.base == "none" { server = client }
    parts.append(("ping", try Gate.firstAnswer(Path(client: client, server: server, port: path.port))))
    let whole = Double(parts.reduce(0) { $0 + $1.nanoseconds }) / 1e6
    if let port {
      try stage.awaitService(of: port, on: .a)
      if arrangement.network.tier != nil {
        // Beside the ping: from the same moment on.
        parts.append(("tier", Clock.monotonicNanoseconds - begin))
      }
    }
    var sample = Sample(value: whole)
    sample.parts = Dictionary(uniqueKeysWithValues: parts.map { ($0.name, Double($0.nanoseconds) / 1e6) })
    withExtendedLifetime(launched) {}
    return sample
  }

  /// One that was calibrated while nothing else took much of the machine.
  private func quietMeter() throws(Failure) -> CPUMeter {
    for _ in 0..<8 {
      let meter = try CPUMeter()
      if meter.isTrustworthy { return meter }
      meter.finish()
      usleep(100_000)
    }
    throw Failure(
      "measure", "CPU time",
      advice: "Other things on this machine took more than a tenth of it in eight tries.")
  }

  /// Of udp-rr: how much of its CPU an end's host takes, by the meter's spinners.
  func demand(_ end: PathEnd, _ cell: Cell, _ path: Path) throws(Failure) -> Sample {
    let watch = WindowWatch(try quietMeter())
    defer { watch.finish() }
    var path = path
    path.onWindow = { watch.open(from: $0, until: $1) }
    let report = try UDPRoundTrip(size: cell.size, timing: settings.timing).run(path)
    let cpu = end == .client ? cell.placement.clientCPU : cell.placement.serverCPU
    let busy = try watch.busy(cpu: cpu)
    guard busy > 0, report.transactionsPerSecond > 0 else {
      throw Failure(
        "measure", "\(cell)", advice: "No request was answered, or no CPU time seen; is the machine busy?")
    }
    var sample = Sample(value: busy * 1e6 / report.transactionsPerSecond)
    sample.cpuPercent = busy * 100
    sample.transactionsPerSecond = report.transactionsPerSecond
    return sample
  }
}

extension Sample {
  init(_ report: AllToAll.Report) {
    self.init(report.latency, lostFraction: 0)
    lostFraction = nil
    transactionsPerSecond = report.exchangesPerSecond
  }
}
