// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import SystemPackage

/// What `status`, `stats`, `down` and another `up` ask of the process that serves an overlay: one JSON line each way,
/// each naming the protocol and the version of its sender.
enum ControlProtocol {
  /// Changes when one side could misread the other.
  static let schema = "culvert.control/1"
  /// A request is a word or two, or names what `up` was asked for.
  static let longestRequest = 4096

  static func line(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let data = (try? encoder.encode(value)) ?? Data("{}".utf8)
    return [UInt8](data) + [UInt8(ascii: "\n")]
  }

  /// Why overlays are not handed over to a process of another version, and what to do instead.
  static func differentVersions(of pid: Int32?, _ version: String, _ asking: String) -> String {
    let own = pid.map { "`/proc/\($0)/exe up --detach` with the same options hands over with its own binary; or e" } ?? "E"
    return "It is culvert \(version), asked by culvert \(asking): options could be lost between them. "
      + "\(own)nd it by `culvert down`, and start all overlays anew by one version."
  }

  /// What a line says of its sender; nil where it is no JSON object at all.
  struct Head: Decodable {
    var schema: String?
    var culvert: String?
  }
  static func head(_ line: [UInt8]) -> Head? { try? JSONDecoder().decode(Head.self, from: Data(line)) }
}

public enum ControlRequest: Sendable {
  case status, stats, down
  /// Overlays that are to be served too.
  case serve(ServeRequest)

  struct Line: Codable {
    var schema = ControlProtocol.schema
    var culvert = Build.version
    var request: String
    var serve: ServeRequest?
  }

  var name: String {
    switch self {
    case .status: "status"
    case .stats: "stats"
    case .down: "down"
    case .serve: "serve"
    }
  }

  private init?(_ name: String, _ serve: ServeRequest? = nil) {
    switch (name, serve) {
    case ("status", _): self = .status
    case ("stats", _): self = .stats
    case ("down", _): self = .down
    case ("serve", let serve?): self = .serve(serve)
    default: return nil
    }
  }

  /// What asks it anew, of another binary.
  var command: String {
    switch self {
    case .status, .stats, .down: name
    case .serve: "up --detach"
    }
  }

  var line: [UInt8] {
    guard case .serve(let serve) = self else { return ControlProtocol.line(Line(request: name)) }
    return ControlProtocol.line(Line(request: name, serve: serve))
  }

  var isRootsAlone: Bool {
    switch self {
    case .status, .stats: false
    case .down, .serve: true
    }
  }

  /// Whoever cannot be understood is told so, and by which version.
  static func parse(_ line: [UInt8]) -> Result<ControlRequest, ControlRefusal> {
    guard let head = ControlProtocol.head(line), let schema = head.schema else {
      // Before there were versions a request was a bare word.
      let word = String(decoding: line, as: UTF8.self)
      let isOld = ControlRequest(word) != nil
      return .failure(
        ControlRefusal(
          .version,
          isOld
            ? "The request names no protocol: it is an older culvert's." : "The request is no line of JSON."))
    }
    guard schema == ControlProtocol.schema else {
      return .failure(
        ControlRefusal(
          .version, "Culvert \(head.culvert ?? "of an unknown version") asked by \(schema)."))
    }
    guard let asked = try? JSONDecoder().decode(Line.self, from: Data(line)) else {
      return .failure(ControlRefusal(.unknownRequest, "The request names nothing to do."))
    }
    guard let request = ControlRequest(asked.request, asked.serve) else {
      return .failure(ControlRefusal(.unknownRequest, "It knows no request \"\(asked.request.prefix(40))\"."))
    }
    // Its options may be others than those that are known here, and whoever decodes them leaves out what it does not know.
    if case .serve = request, asked.culvert != Build.version {
      return .failure(ControlRefusal(.version, ControlProtocol.differentVersions(of: getpid(), Build.version, asked.culvert)))
    }
    return .success(request)
  }
}

/// Why a request was not served.
struct ControlRefusal: Codable, Error {
  enum Kind: String, Codable {
    /// Another protocol, or none.
    case version
    case unknownRequest = "unknown-request"
    /// Only root may do that.
    case privileges
    /// The fast path is ending.
    case ending
    case failed
  }
  var kind: Kind
  var text: String
  init(_ kind: Kind, _ text: String) {
    self.kind = kind
    self.text = text
  }
}

/// A line back: what was asked for, or why not.
struct ControlReply<Body: Codable>: Codable {
  var schema = ControlProtocol.schema
  var culvert = Build.version
  var body: Body?
  var error: ControlRefusal?

  init(_ result: Result<Body, ControlRefusal>) {
    switch result {
    case .success(let body): self.body = body
    case .failure(let refusal): error = refusal
    }
  }
}

/// What a fast path that was told to end says.
struct DownReply: Codable {
  /// What was given back, a line each.
  var restored: [String]
}
