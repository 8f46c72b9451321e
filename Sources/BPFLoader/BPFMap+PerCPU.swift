// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

extension BPFMap {
  /// How many values a per-CPU entry has: possible CPUs, not those online.
  public static var possibleCPUs: Int { Int(libbpf_num_possible_cpus()) }

  /// A per-CPU entry's values, by CPU; nil when there is no such entry.
  public func perCPU(_ key: Key) throws(Failure) -> [Value]? {
    precondition(isPerCPU, "\(name) is not per-CPU")
    var key = key
    let cpus = Self.possibleCPUs
    let stride = Self.perCPUStride
    return try withUnsafeTemporaryAllocation(byteCount: cpus * stride, alignment: 8) {
      place throws(Failure) in
      let status = bpf_map_lookup_elem(descriptor.raw, &key, place.baseAddress!)
      if status == -Errno.noSuchFileOrDirectory.rawValue { return nil }
      guard status == 0 else { throw failure("look up in", -status) }
      return (0..<cpus).map { place.loadUnaligned(fromByteOffset: $0 * stride, as: Value.self) }
    }
  }

  /// Of each of an array's first `count` entries the sum over CPUs of some of the 64-bit words that its value is made of:
  /// one system call for 64 entries.
  public func sums(ofWords words: Range<Int>, first count: Int) throws(Failure) -> [UInt64] {
    precondition(isPerCPU && words.upperBound * 8 <= MemoryLayout<Value>.size, "\(name) has no such words")
    let (cpus, stride, atOnce) = (Self.possibleCPUs, Self.perCPUStride, 64)
    var sums: [UInt64] = []
    sums.reserveCapacity(count)
    var keys = [UInt32](repeating: 0, count: atOnce)
    let values = UnsafeMutableRawBufferPointer.allocate(byteCount: atOnce * cpus * stride, alignment: 8)
    defer { values.deallocate() }
    var (last, next) = (0 as UInt32, 0 as UInt32)
    while sums.count < count {
      var taken = UInt32(min(atOnce, count - sums.count))
      let status = sums.isEmpty
        ? bpf_map_lookup_batch(descriptor.raw, nil, &next, &keys, values.baseAddress!, &taken, nil)
        : bpf_map_lookup_batch(descriptor.raw, &last, &next, &keys, values.baseAddress!, &taken, nil)
      let isEnd = status == -Errno.noSuchFileOrDirectory.rawValue
      guard status == 0 || isEnd else { throw failure("look up in", -status) }
      for entry in 0..<Int(taken) {
        var sum: UInt64 = 0
        for cpu in 0..<cpus {
          let value = (entry * cpus + cpu) * stride
          for word in words { sum &+= values.load(fromByteOffset: value + word * 8, as: UInt64.self) }
        }
        sums.append(sum)
      }
      if isEnd { break }
      last = next
    }
    return sums
  }

  /// Stores the same value for every CPU.
  public func updatePerCPU(_ key: Key, _ value: Value) throws(Failure) {
    precondition(isPerCPU, "\(name) is not per-CPU")
    var key = key
    let cpus = Self.possibleCPUs
    let stride = Self.perCPUStride
    try withUnsafeTemporaryAllocation(byteCount: cpus * stride, alignment: 8) {
      place throws(Failure) in
      place.initializeMemory(as: UInt8.self, repeating: 0)
      for cpu in 0..<cpus { place.storeBytes(of: value, toByteOffset: cpu * stride, as: Value.self) }
      let status = bpf_map_update_elem(descriptor.raw, &key, place.baseAddress!, 0)
      guard status == 0 else { throw failure("update", -status) }
    }
  }

  /// The kernel lays per-CPU values out at multiples of 8 bytes.
  private static var perCPUStride: Int { (MemoryLayout<Value>.size + 7) & ~7 }
}
