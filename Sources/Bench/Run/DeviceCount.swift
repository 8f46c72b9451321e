// SPDX-License-Identifier: Apache-2.0
import Lab
import LinuxSystem

/// What a device has received: skbs as they are behind GRO of the device below it, and their bytes.
struct DeviceCount: Equatable {
  var packets: UInt64
  var bytes: UInt64

  /// Of a line of /proc/net/dev: "vx0: BYTES PACKETS …"; nil where there is none for the device.
  init?(_ name: String, in text: String) {
    for line in text.split(separator: "\n") {
      let words = line.split { $0 == " " || $0 == ":" }
      guard words.count > 2, words[0] == name, let bytes = UInt64(words[1]), let packets = UInt64(words[2])
      else { continue }
      (self.bytes, self.packets) = (bytes, packets)
      return
    }
    return nil
  }

  /// nil where nothing came.
  func bytesEach(since earlier: DeviceCount) -> Double? {
    guard packets > earlier.packets, bytes >= earlier.bytes else { return nil }
    return Double(bytes - earlier.bytes) / Double(packets - earlier.packets)
  }
}

extension LabArena {
  /// Of the receiving host's VXLAN device, where that is a plain kernel's: a tier there takes packets past it.
  func receivedSKBs(_ arrangement: Arrangement, _ cell: Cell, _ stage: Stage) throws -> DeviceCount? {
    guard cell.measure.plain == .tcpStream, let overlay = arrangement.spec.network.overlay,
      arrangement.workers[.b] == nil, !arrangement.network.isOfHosts
    else { return nil }
    return try stage.lab.host(.b).run {
      DeviceCount(overlay.device, in: try FileText.read("/proc/thread-self/net/dev"))
    }
  }
}
