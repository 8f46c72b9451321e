// SPDX-License-Identifier: Apache-2.0

/// A value of which empty means unknown: it is then not in the JSON at all, and read back as empty.
@propertyWrapper
public struct LeftOutIfEmpty<Value: Codable & Sendable & Emptiable>: Codable, Sendable {
  public var wrappedValue: Value
  public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
  public init(from decoder: any Decoder) throws { wrappedValue = try Value(from: decoder) }
  public func encode(to encoder: any Encoder) throws { try wrappedValue.encode(to: encoder) }
}

public protocol Emptiable {
  static var empty: Self { get }
  var isEmpty: Bool { get }
}
extension String: Emptiable { public static var empty: String { "" } }
extension UInt32: Emptiable {
  public static var empty: UInt32 { 0 }
  public var isEmpty: Bool { self == 0 }
}

// What the compiler writes for a Codable type calls these, as they are the closest fit.
extension KeyedEncodingContainer {
  mutating func encode<Value>(_ value: LeftOutIfEmpty<Value>, forKey key: Key) throws {
    if !value.wrappedValue.isEmpty { try encode(value.wrappedValue, forKey: key) }
  }
}
extension KeyedDecodingContainer {
  func decode<Value>(_ type: LeftOutIfEmpty<Value>.Type, forKey key: Key) throws -> LeftOutIfEmpty<Value> {
    LeftOutIfEmpty(wrappedValue: try decodeIfPresent(Value.self, forKey: key) ?? .empty)
  }
}
