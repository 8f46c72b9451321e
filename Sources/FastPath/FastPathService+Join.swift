// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

/// Overlays that a process which ran already has begun to serve.
public struct Joined: Sendable {
  public let statuses: [Status]
  let directories: [RuntimeDirectory]

  /// Ends them alone.
  public func leave() throws { for directory in directories { _ = try Overlays.down(directory) } }
}

extension FastPathService {
  public enum Begun {
    case started(FastPathService)
    case joined(Joined)
  }

  /// As `start`; where the uplink is served by another of Culvert's processes already, that one is asked to serve these
  /// overlays too.
  public static func startOrJoin(
    _ options: AgentOptions, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws -> Begun {
    do { return .started(try begin(options, report: report)) } catch let taken as UplinkTaken {
      return .joined(try join(taken, options))
    }
  }

  private static func join(_ taken: UplinkTaken, _ options: AgentOptions) throws -> Joined {
    let (process, names) = (taken.process, options.overlays ?? [])
    let namespace = try NetworkNamespace.open(options.each.namespace)
    let request = ServeRequest(
      overlays: names, path: "/proc/\(getpid())/fd/\(namespace.descriptor.raw)", namespace: options.each.namespace,
      options: options.each)
    guard let directory = RuntimeDirectory.all().first(where: { $0.isHeld && $0.owner == process }) else {
      throw taken.failure
    }
    do {
      guard case .answered(let statuses) = try ask(directory, .serve(request), as: [Status].self, milliseconds: 30_000)
      else { throw taken.failure }
      let joined = try Overlays.directories(namespace: options.each.namespace, all: false, named: names)
      return Joined(statuses: statuses, directories: joined)
    } catch let refusal as Failure where refusal.advice != taken.failure.advice {
      var failure = taken.failure
      failure.advice = "Process \(process.pid), which has it, does not take \(names.joined(separator: ", ")) too: "
        + Engine.oneLine(refusal)
      throw failure
    }
  }
}
