// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Overlays that another process was asked to serve, and that leave by an uplink which is this one's.
extension Agent {
  /// Of which nothing may fail.
  func serveToo(_ request: ServeRequest) throws -> [Status] {
    let differences = options.each.differences(from: request.options)
    guard differences.isEmpty else {
      throw Failure(
        "serve", request.overlays.joined(separator: ", "),
        advice: "It was started with another \(differences.joined(separator: ", ")).")
    }
    let namespace = Box(try NetworkNamespace.open(request.path))
    labelsReports = true
    var begun: [Served] = []
    do {
      for name in request.overlays {
        let one = try make(name, in: namespace, request.namespace, device: nil, request.options)
        try begin(one)
        begun.append(one)
      }
      return try begun.map { one in try ask(one) { try $0.status() } }
    } catch {
      for one in begun { _ = remove(one) }
      throw (error as? UplinkTaken)?.failure ?? error
    }
  }
}
