// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CLinuxSystem
import FastPath
import Foundation
import Glibc
import LinuxSystem
import SystemPackage

/// `up --detach`: the same command again in a session of its own, whose messages
/// are relayed until it carries packets.
enum Background {
  private static let readyMark = "\u{4}"
  private static let doneMark = "\u{5}"

  static func spawn(_ command: [String] = CommandLine.arguments.filter { $0 != "--detach" }) throws {
    var ends: [Int32] = [0, 0]
    guard culvert_pipe(&ends, false) == 0 else { throw Failure("create", "a pipe", errno: .last) }
    let reading = OwnedDescriptor(adopting: ends[0])
    let writing = OwnedDescriptor(adopting: ends[1])

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, writing.raw, 2)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(0x80 /* POSIX_SPAWN_SETSID */))

    let arguments = command + ["--background"]
    var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    var child: pid_t = 0
    let status = posix_spawn(&child, "/proc/self/exe", &actions, &attributes, &pointers, environ)
    guard status == 0 else {
      throw Failure("start", "the background process", errno: Errno(rawValue: status))
    }
    close(writing.release())

    guard let stream = fdopen(reading.release(), "r") else { throw Failure("read", "a pipe", errno: .last) }
    defer { fclose(stream) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    while getline(&line, &capacity, stream) > 0, let text = line.map({ String(cString: $0) }) {
      if text == readyMark + "\n" {
        return Terminal.note("in the background as process \(child), log \(Owner.logPath(of: child))")
      }
      if text == doneMark + "\n" { return }
      Terminal.note(text.trimmingCharacters(in: .newlines))
    }
    // The pipe ended before it was ready: the child's own message is out; its status is ours.
    var wait: Int32 = 0
    waitpid(child, &wait, 0)
    guard wait & 0x7f == 0 else {
      throw Failure("start", "the background process", advice: "Signal \(wait & 0x7f) ended it.")
    }
    let code = (wait >> 8) & 0xff
    guard code != 0 else { throw Failure("start", "the background process", advice: "It ended at once.") }
    throw ExitCode(code)
  }

  /// In the background process: what ps(1) shows. It was started as /proc/self/exe, and would be called `exe`.
  static func takeName() { culvert_name_process("culvert") }

  /// In the background process: tells the waiting command, then writes to a log.
  static func ready() throws {
    let path = Owner.logPath(of: getpid())
    for folder in ["/run/culvert", "/run/culvert/log"] { try Folder.make(folder) }
    let log = try OwnedDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, mode: 0o644)
    Terminal.note(readyMark)
    dup2(log.raw, 2)
  }

  /// In the background process, where another serves what it was asked for.
  static func done() { Terminal.note(doneMark) }
}

/// sd_notify(3)'s protocol: a datagram to NOTIFY_SOCKET, where a manager asked for it.
enum ServiceManager {
  static func notifyReady() {
    guard let path = ProcessInfo.processInfo.environment["NOTIFY_SOCKET"], !path.isEmpty else { return }
    let raw = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { return }
    let descriptor = OwnedDescriptor(adopting: raw)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // A leading @ means the abstract namespace, whose names start with a zero byte.
    let bytes = path.hasPrefix("@") ? [0] + Array(path.utf8.dropFirst()) : Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    let message = Array("READY=1\nMAINPID=\(getpid())".utf8)
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor.raw, message, message.count, Int32(MSG_NOSIGNAL), $0, length)
      }
    }
  }
}
