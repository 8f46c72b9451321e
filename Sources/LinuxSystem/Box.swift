// SPDX-License-Identifier: Apache-2.0

/// Shares one kernel resource between owners, or puts it into a collection:
/// it is released when the last of them releases it.
public final class Box<Value: ~Copyable> {
  public var value: Value
  public init(_ value: consuming Value) { self.value = value }
}
