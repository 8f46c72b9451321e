// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import LinuxSystem

/// A command whose failures become one clear message and the contract's exit status.
protocol CulvertCommand: ParsableCommand {
  func execute() throws
}

extension CulvertCommand {
  func run() throws {
    do {
      try execute()
    } catch let failure as Failure {
      Terminal.error(failure)
      throw ExitCode(failure.status.rawValue)
    }
  }
}
