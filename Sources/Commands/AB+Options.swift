// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import LinuxSystem

extension AB {
  func request() throws -> Plan.Request {
    var request = Plan.Request()
    request.networks = networks.map(Self.list)
    request.workloads = workloads.map(Self.list)
    request.sizes = try Self.numbers("--sizes", sizes, "64,1400")
    request.flows = try Self.numbers("--flows", flows, "1,4")
    request.offloads = try Self.choice("--offloads", offloads)
    request.placements = try Self.choice("--placement", placement)
    request.ends = try ends.map { (text) in
      var chosen: [Ends] = []
      for word in Self.list(text) {
        guard let end = Ends(rawValue: word) else {
          throw ValidationError("--ends \(text) is not one of: both, sender, receiver.")
        }
        chosen.append(end)
      }
      return chosen
    }
    switch outerChecksum {
    case nil: break
    case "on", "off": request.outerChecksum = outerChecksum == "on"
    default:
      throw ValidationError("--outer-checksum \(outerChecksum!) is not one of: on, off.")
    }
    request.asShipped = asShipped
    request.repeats = repeats
    request.duration = duration
    request.baseline = baseline
    request.quick = quick
    return request
  }

  private static func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }

  private static func numbers(_ option: String, _ text: String?, _ example: String) throws -> [Int]?
  {
    guard let text else { return nil }
    var numbers: [Int] = []
    for word in list(text) {
      guard let number = Int(word) else {
        throw ValidationError("\(option) \(text) is not a list of numbers, as in \(example).")
      }
      numbers.append(number)
    }
    return numbers
  }

  /// One of the cases, or "both" for all; nil stays nil.
  private static func choice<T: RawRepresentable<String> & CaseIterable>(
    _ option: String, _ text: String?
  ) throws -> [T]? {
    guard let text else { return nil }
    if text == "both" { return Array(T.allCases) }
    guard let value = T(rawValue: text) else {
      let known = T.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("\(option) \(text) is not one of: \(known), both.")
    }
    return [value]
  }
}
