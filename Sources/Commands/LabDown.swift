// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Lab
import LinuxSystem

struct LabDown: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "down", abstract: "Remove exactly what `lab up` made, also after a crash half way.")

  @OptionGroup var lab: LabName

  func execute() throws {
    // One that is not whole has no tier to end: devices go, and with them what was attached.
    if let whole = try Lab.list().first(where: { $0.name == lab.name && $0.state == .up }) {
      try LabTier.stop(on: try Lab.open(name: whole.name))
    }
    guard let occupants = try Lab.down(name: lab.name) else {
      return Terminal.note("there is no lab \"\(lab.name)\"")
    }
    for occupant in occupants {
      Terminal.note("process \(occupant.process) still runs in \(occupant.node), whose namespace has no name any more")
    }
    Terminal.note("removed lab \"\(lab.name)\"")
  }
}
