// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Traffic

/// Trials with live frames.
extension LabArena {
  func measure(
    _ frames: FrameMeasure, _ direction: PacketDirection, _ cell: Cell, _ given: Arrangement, _ stage: Stage,
    _ onWindow: (@Sendable (UInt64, UInt64) -> Void)?
  ) throws -> Sample {
    try stage.establish(given.network)
    var load = stage.load(given.network, direction, size: cell.size)
    load.onWindow = onWindow
    var arrangement = given
    arrangement.size = cell.size
    switch frames {
    case .rate:
      let sample = try highestRate(load, cell)
      ceilings[arrangement] = max(ceilings[arrangement] ?? 0, sample.value)
      return sample
    case .rateByTurns(let containers, let run):
      stage.takeTurns(&load, direction, containers: containers, run: run)
      return try highestRate(load, cell)
    case .rateAmong(let entries):
      stage.takeAny(&load, direction, of: entries)
      return try highestRate(load, cell)
    case .noDropRate:
      let timing = LoadTiming(warmUp: 0.02, duration: settings.searchDuration)
      let ceiling = try ceilings[arrangement] ?? load.run(rate: nil, timing: timing).packetsPerSecond
      let rate = try load.noDropRate(ceiling: ceiling, steps: settings.searchSteps, timing: timing)
      noDropRates[arrangement, default: []].append(rate)
      return Sample(value: rate)
    case .delay(let percent):
      guard let most = Statistics.median(noDropRates[arrangement] ?? []), most > 0 else {
        throw Failure("measure", "\(cell)", advice: "No rate without loss was found, of which it is a part.")
      }
      return try delay(load, rate: most * Double(percent) / 100, cell)
    }
  }

  private func highestRate(_ load: PacketRate, _ cell: Cell) throws -> Sample {
    let report = try load.run(rate: nil, timing: settings.timing)
    guard report.packetsPerSecond > 0 else {
      throw Failure(
        "measure", "\(cell)",
        advice:
          "Nothing arrived while it was counted; of \(report.sent) frames \(report.sunk) reached their end.")
    }
    return Sample(value: report.packetsPerSecond, lostFraction: report.lostFraction)
  }

  private func delay(_ load: PacketRate, rate: Double, _ cell: Cell) throws -> Sample {
    var sent: UInt64 = 0
    // A generator that gives way to everything may have no turn at all in a window.
    for _ in 0..<3 {
      let report = try load.run(rate: rate, timing: settings.timing, isYielding: true, measuresDelay: true)
      if let delay = report.delay, delay.count > 0 { return Sample(delay, lostFraction: report.lostFraction) }
      sent += report.sent
    }
    throw Failure(
      "measure", "\(cell)",
      advice: "None of \(sent) frames arrived with its time stamp in three windows; is the machine busy?")
  }
}
