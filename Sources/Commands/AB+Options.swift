// SPDX-License-Identifier: Apache-2.0
import Bench
import LinuxSystem

extension AB {
  func request() throws(Failure) -> Plan.Request {
    var request = Plan.Request()
    request.networks = networks.map(Self.list)
    request.workloads = workloads.map(Self.list)
    request.sizes = try Self.numbers("--sizes", sizes, "64,1400")
    request.flows = try Self.numbers("--flows", flows, "1,4")
    request.offloads = try Self.choice("--offloads", offloads)
    request.placements = try Self.choice("--placement", placement)
    request.ends = try ends.map { (text) throws(Failure) in
      var chosen: [Ends] = []
      for word in Self.list(text) {
        guard let end = Ends(rawValue: word) else {
          throw Failure("read --ends", text, advice: "Give both, sender or receiver.", status: .usage)
        }
        chosen.append(end)
      }
      return chosen
    }
    switch outerChecksum {
    case nil: break
    case "on", "off": request.outerChecksum = outerChecksum == "on"
    default:
      throw Failure("read --outer-checksum", outerChecksum!, advice: "Give on or off.", status: .usage)
    }
    request.asShipped = asShipped
    request.repeats = repeats
    request.duration = duration
    request.baseline = baseline
    request.quick = quick
    return request
  }

  private static func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }

  private static func numbers(_ option: String, _ text: String?, _ example: String) throws(Failure) -> [Int]?
  {
    guard let text else { return nil }
    var numbers: [Int] = []
    for word in list(text) {
      guard let number = Int(word) else {
        throw Failure("read \(option)", text, advice: "Give numbers, as in \(example).", status: .usage)
      }
      numbers.append(number)
    }
    return numbers
  }

  /// One of the cases, or "both" for all; nil stays nil.
  private static func choice<T: RawRepresentable<String> & CaseIterable>(
    _ option: String, _ text: String?
  ) throws(Failure) -> [T]? {
    guard let text else { return nil }
    if text == "both" { return Array(T.allCases) }
    guard let value = T(rawValue: text) else {
      let known = T.allCases.map(\.rawValue).joined(separator: ", ")
      throw Failure("read \(option)", text, advice: "Give one of: \(known), both.", status: .usage)
    }
    return [value]
  }
}
