// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Foundation
import Glibc
import LinuxSystem

/// A command that failed, with all it printed.
public struct ShellFailure: Error, CustomStringConvertible {
  public var command: [String]
  public var status: Int32
  public var output: String
  public var description: String { "\(command.joined(separator: " ")): status \(status)\n\(output)" }
}

/// Runs a command in the calling thread's network namespace (a child inherits it)
/// and returns what it printed. The tests' second opinion: ip, bridge, ethtool.
@discardableResult
public func shell(_ command: String...) throws -> String { try shell(command) }

@discardableResult
public func shell(_ command: [String], input: String? = nil) throws -> String {
  var output: [Int32] = [0, 0]
  guard culvert_pipe(&output, false) == 0 else { throw Failure("create", "a pipe", errno: .last) }
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  var inputPath = "/dev/null"
  if let input {
    inputPath = FileManager.default.temporaryDirectory.path + "/culvert-test-\(getpid())-\(UUID().uuidString)"
    try input.write(toFile: inputPath, atomically: false, encoding: .utf8)
  }
  defer { if input != nil { unlink(inputPath) } }
  posix_spawn_file_actions_addopen(&actions, 0, inputPath, O_RDONLY, 0)
  posix_spawn_file_actions_adddup2(&actions, output[1], 1)
  posix_spawn_file_actions_adddup2(&actions, output[1], 2)
  var pointers: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
  defer { for pointer in pointers { free(pointer) } }
  var child: pid_t = 0
  let status = posix_spawnp(&child, command[0], &actions, nil, &pointers, environ)
  close(output[1])
  defer { close(output[0]) }
  guard status == 0 else {
    throw ShellFailure(command: command, status: status, output: String(cString: strerror(status)))
  }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = read(output[0], &chunk, chunk.count)
    guard count > 0 else { break }
    bytes += chunk[..<count]
  }
  var wait: Int32 = 0
  waitpid(child, &wait, 0)
  let text = String(decoding: bytes, as: UTF8.self)
  guard wait == 0 else { throw ShellFailure(command: command, status: (wait >> 8) & 0xff, output: text) }
  return text
}

/// Starts a command in the calling thread's network namespace; the caller ends it.
public func background(_ command: String...) throws -> pid_t {
  var pointers: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
  defer { for pointer in pointers { free(pointer) } }
  var child: pid_t = 0
  let status = posix_spawnp(&child, command[0], nil, nil, &pointers, environ)
  guard status == 0 else {
    throw ShellFailure(command: command, status: status, output: String(cString: strerror(status)))
  }
  return child
}
