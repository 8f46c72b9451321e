// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem

/// What connection tracking announces.
public enum ConntrackEvent: Hashable, Sendable {
  case new(ConntrackEntry)
  case update(ConntrackEntry)
  /// The entry as it was last; its status may be less than it was.
  case destroy(ConntrackEntry)

  /// Appends what a datagram of the kernel's says; messages of other subsystems are passed over.
  static func parse(_ bytes: UnsafeRawBufferPointer, into events: inout [ConntrackEvent]) throws(Failure) {
    var messages = Messages(bytes)
    while let message = try messages.next() {
      switch message.type {
      case ConntrackMessage.new:
        let entry = try ConntrackEntry(parsing: message.payload)
        // The kernel says NLM_F_CREATE of those that are new.
        events.append(message.flags & NLM_F_CREATE != 0 ? .new(entry) : .update(entry))
      case ConntrackMessage.delete:
        events.append(.destroy(try ConntrackEntry(parsing: message.payload)))
      default: break
      }
    }
  }
}
