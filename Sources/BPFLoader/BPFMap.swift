// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

/// A map of plain keys and values, held by a descriptor of its own. Per-CPU maps:
/// `perCPU`.
public struct BPFMap<Key: BitwiseCopyable, Value: BitwiseCopyable>: ~Copyable, Sendable {
  public let name: String
  public let id: UInt32
  public let maxEntries: UInt32
  public let isPerCPU: Bool
  public let descriptor: OwnedDescriptor

  init(name: String, borrowing raw: Int32) throws(Failure) {
    guard raw >= 0 else {
      throw Failure("use BPF map", name, errno: Errno(rawValue: -raw), advice: "Load its object first.")
    }
    let copy = try duplicateDescriptor(raw)
    var info = bpf_map_info()
    var size = UInt32(MemoryLayout<bpf_map_info>.size)
    guard bpf_obj_get_info_by_fd(copy.raw, &info, &size) == 0 else {
      throw Failure("inspect BPF map", name, errno: .last)
    }
    guard info.key_size == MemoryLayout<Key>.size, info.value_size == MemoryLayout<Value>.size else {
      throw Failure(
        "use BPF map", name,
        advice: "Its key has \(info.key_size) bytes and its value \(info.value_size); "
          + "\(Key.self) has \(MemoryLayout<Key>.size) and \(Value.self) \(MemoryLayout<Value>.size).")
    }
    self.name = name
    self.id = info.id
    self.maxEntries = info.max_entries
    self.isPerCPU = [
      BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH,
    ].contains(bpf_map_type(info.type))
    self.descriptor = copy
  }

  /// BPF_ANY, BPF_NOEXIST, BPF_EXIST.
  public enum Condition: UInt64, Sendable {
    case any, absent, present
  }

  /// Stores the value; of an array this cannot fail but for its bounds (E2BIG).
  public func update(_ key: Key, _ value: Value, _ condition: Condition = .any) throws(Failure) {
    var key = key
    var value = value
    let status = bpf_map_update_elem(descriptor.raw, &key, &value, condition.rawValue)
    guard status == 0 else { throw failure("update", -status) }
  }

  /// nil when there is no such entry. Not for per-CPU maps.
  public func lookup(_ key: Key) throws(Failure) -> Value? {
    precondition(!isPerCPU, "\(name) is per-CPU")
    var key = key
    return try withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) { place throws(Failure) in
      let status = bpf_map_lookup_elem(descriptor.raw, &key, place.baseAddress!)
      if status == -Errno.noSuchFileOrDirectory.rawValue { return nil }
      guard status == 0 else { throw failure("look up in", -status) }
      return place[0]
    }
  }

  /// False when there was no such entry.
  @discardableResult
  public func delete(_ key: Key) throws(Failure) -> Bool {
    var key = key
    let status = bpf_map_delete_elem(descriptor.raw, &key)
    if status == -Errno.noSuchFileOrDirectory.rawValue { return false }
    guard status == 0 else { throw failure("delete from", -status) }
    return true
  }

  /// Every key at the time of asking, one system call each; entries that come or go meanwhile
  /// may be missed.
  public func keys() throws(Failure) -> [Key] {
    var keys: [Key] = []
    try withUnsafeTemporaryAllocation(of: Key.self, capacity: 2) { place throws(Failure) in
      let next = place.baseAddress! + 1
      var status = bpf_map_get_next_key(descriptor.raw, nil, next)
      while status == 0 {
        keys.append(next.pointee)
        place[0] = next.pointee
        status = bpf_map_get_next_key(descriptor.raw, place.baseAddress!, next)
      }
      guard status == -Errno.noSuchFileOrDirectory.rawValue else { throw failure("walk", -status) }
    }
    return keys
  }

  /// Bytes of kernel memory that the map accounts for (`memlock` of its fdinfo).
  public func memory() throws(Failure) -> Int {
    let path = "/proc/thread-self/fdinfo/\(descriptor.raw)"
    let text = try readSmallFile(path)
    for line in text.split(separator: "\n") where line.hasPrefix("memlock:") {
      if let bytes = Int(line.dropFirst(8).filter { !$0.isWhitespace }) { return bytes }
    }
    throw Failure("read", path, advice: "It has no line `memlock:`.")
  }

  func failure(_ operation: String, _ errno: Int32) -> Failure {
    let errno = Errno(rawValue: errno)
    let advice: String? =
      errno == .argListTooLong || errno == .noMemory
      ? "It holds \(maxEntries) entries at most." : nil
    return Failure("\(operation) BPF map", name, errno: errno, advice: advice)
  }
}
