// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

extension LabNode {
  /// Becomes `command` inside the node, found by PATH; returns only by failing. Like
  /// `ip netns exec` the command gets a mount namespace of its own, whose /sys shows
  /// the node's devices; `warn` is told where that cannot be.
  public func exec(_ command: [String], warn: (Failure) -> Void) throws(Failure) -> Never {
    guard let program = command.first else {
      throw Failure(
        "run a command in", name, advice: "No command is given; put it after --.", status: .usage)
    }
    try namespace.enter()
    do throws(Failure) {
      try Self.remountSys()
    } catch {
      warn(error)
    }
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
    arguments.append(nil)
    execvp(program, arguments)
    let errno = Errno.last
    throw Failure(
      "run", program, errno: errno,
      status: errno == .noSuchFileOrDirectory ? .commandNotFound : .notExecutable)
  }

  static func remountSys() throws(Failure) {
    let status = culvert_unshare_mounts()
    guard status == 0 else { throw Failure("unshare", "mounts", errno: Errno(rawValue: -status)) }
    guard mount("", "/", "none", UInt(MS_SLAVE | MS_REC), nil) == 0,
      mount("sysfs", "/sys", "sysfs", 0, nil) == 0
    else {
      throw Failure("mount", "/sys", errno: .last, advice: "/sys shows the devices of another namespace.")
    }
  }
}
