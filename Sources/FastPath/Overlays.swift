// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import Netlink

/// The fast paths of this machine, found by their runtime directories: for the
/// commands that talk to another process. Reading changes nothing.
public enum Overlays {
  /// Those of one namespace, or of all; of `names` alone where there are any. A process that looks for overlays comes
  /// after what it serves.
  public static func directories(
    namespace reference: String?, all: Bool, named names: [String] = []
  ) throws -> [RuntimeDirectory] {
    try RuntimeDirectory.check()
    let every = RuntimeDirectory.all()
    let overlays = (every.filter { !$0.isAgents } + every.filter(\.isAgents)).filter { isNamed($0, names) }
    guard !all else { return overlays }
    // Held open, the namespace in question is found and kept.
    let namespace = try NetworkNamespace.open(reference)
    return overlays.filter { $0.namespaceInode == namespace.identity.inode }
  }

  /// By the bridge, or, where its owner answers, by the VXLAN device.
  private static func isNamed(_ directory: RuntimeDirectory, _ names: [String]) -> Bool {
    guard !names.isEmpty else { return true }
    guard !directory.isAgents, let owner = directory.owner else { return false }
    if names.contains(owner.overlay) { return true }
    guard let status = try? status(directory), !status.vxlan.isEmpty else { return false }
    return names.contains(status.vxlan)
  }

  /// Those that ended by themselves, in one namespace or in all.
  public static func ended(namespace reference: String?, all: Bool) throws -> [EndRecord] {
    guard !all else { return EndRecord.all() }
    let inode = try NetworkNamespace.open(reference).identity.inode
    return EndRecord.all().filter { $0.namespaceInode == inode }
  }

  public static func status(of record: EndRecord) -> Status { record.status }

  /// What a living owner says, or what is known of one that does not answer or has died. Nil where it has gone
  /// meanwhile.
  public static func status(_ directory: RuntimeDirectory) throws(Failure) -> Status? {
    guard directory.isHeld else {
      // One that begins has a folder first, and one that ends has none at last.
      guard directory.exists, let owner = directory.owner else { return nil }
      return known(of: owner, state: "dead", changes: Journal.read(directory)?.summary ?? [])
    }
    guard let owner = directory.owner else {
      return .known(pid: 0, state: "starting", overlay: directory.path, namespace: "")
    }
    if owner.isStopped { return known(of: owner, state: "stopped") }
    switch try ask(directory, .status, as: Status.self, milliseconds: 5000) {
    case .answered(var status):
      status.log = owner.keptLog
      return status
    case .ending, .notListening: return known(of: owner, state: "starting")
    case .silent: return known(of: owner, state: owner.isStopped ? "stopped" : "silent")
    }
  }

  private static func known(of owner: Owner, state: String, changes: [String] = []) -> Status {
    var status = Status.known(
      pid: owner.pid, state: state, overlay: owner.overlay, namespace: owner.namespace)
    status.changes = changes
    status.log = owner.keptLog
    return status
  }

  /// Nil where nobody serves it, or no longer.
  public static func stats(_ directory: RuntimeDirectory) throws(Failure) -> Stats? {
    guard directory.isHeld else { return nil }
    let owner = directory.owner
    let process = owner.map { "process \($0.pid)" } ?? "the process"
    guard owner?.isStopped != true else { throw stopped(owner!, "ask for stats") }
    switch try ask(directory, .stats, as: Stats.self, milliseconds: 5000) {
    case .answered(let stats): return stats
    case .ending, .notListening: return nil
    case .silent: throw Failure("ask for stats", process, advice: "It did not answer within 5 s.")
    }
  }

  private static func stopped(_ owner: Owner, _ what: String) -> Failure {
    Failure(what, "process \(owner.pid)", advice: "It is stopped; `kill -CONT \(owner.pid)` resumes it.")
  }
}

extension Status {
  /// What can be said of one that does not answer.
  static func known(pid: Int32, state: String, overlay: String, namespace: String) -> Status {
    Status(
      pid: pid, state: state, namespace: namespace, overlay: overlay, bridge: overlay, vxlan: "", vni: 0,
      uplink: "", tier: "", mode: "", strict: false, ports: [], entries: .init(), tunnels: [], changes: [])
  }
}
