// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import DataPlane
import LinuxSystem

extension BurstInMemory.Step: ExpressibleByArgument {}

/// For scripts/instructions.sh: the same step so many times and nothing else, so that a counter of
/// instructions tells what one costs.
struct CostStep: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "step", abstract: "Run one step of tier afxdp's forwarder over frames in memory.",
    shouldDisplay: false)

  @Argument var step: BurstInMemory.Step
  @Option var burst = 64
  @Option var bytes = 64
  @Option var turns = 1000

  func validate() throws {
    guard burst > 0, (64...1500).contains(bytes), turns > 0 else {
      throw ValidationError("--burst and --turns must be positive, --bytes from 64 to 1500.")
    }
  }

  func execute() throws {
    try Terminal.result("\(SingleStep.run(step, burst: burst, bytes: bytes, turns: turns))")
  }
}
