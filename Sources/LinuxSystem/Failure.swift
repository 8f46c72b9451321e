// SPDX-License-Identifier: Apache-2.0
import SystemPackage

/// What every command's exit status can be (sysexits(3) where one fits).
public enum ExitStatus: Int32, Sendable {
  case done = 0
  case failed = 1
  /// A comparison missed a threshold the user set.
  case missedThreshold = 2
  case usage = 64
  /// This kernel or interface cannot do it.
  case unavailable = 69
  case needsPrivileges = 77
  /// `lab exec`, as a shell has it: the command cannot be run, or is not there.
  case notExecutable = 126
  case commandNotFound = 127
}

/// An operation that failed: on what, with which errno, and what to do next.
public struct Failure: Error, Sendable, CustomStringConvertible {
  public var operation: String
  public var subject: String
  public var errno: Errno?
  public var advice: String?
  public var status: ExitStatus

  public init(
    _ operation: String, _ subject: String, errno: Errno? = nil, advice: String? = nil,
    status: ExitStatus? = nil
  ) {
    self.operation = operation
    self.subject = subject
    self.errno = errno
    self.advice = advice
    self.status =
      status ?? (errno == .notPermitted || errno == .permissionDenied ? .needsPrivileges : .failed)
  }

  public var description: String {
    var text = "\(operation) \(subject)"
    if let errno { text += ": \(errno.description) (errno \(errno.rawValue))" }
    if let advice { text += "\n  \(advice)" }
    return text
  }
}

extension Errno {
  /// The calling thread's errno, read before anything else can disturb it.
  @inline(__always)
  public static var last: Errno { Errno(rawValue: lastErrno()) }
}
