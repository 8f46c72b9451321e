// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

extension BPFMap {
  /// Stores many entries: one system call where the map's type has batches, else one each.
  /// After an error some of them may be stored.
  public func update(_ entries: [(key: Key, value: Value)]) throws(Failure) {
    guard !entries.isEmpty else { return }
    let keys = entries.map(\.key)
    let values = entries.map(\.value)
    var count = UInt32(entries.count)
    let raw = descriptor.raw
    let status = keys.withUnsafeBytes { keys in
      values.withUnsafeBytes { values in
        bpf_map_update_batch(raw, keys.baseAddress!, values.baseAddress!, &count, nil)
      }
    }
    if status == 0 { return }
    guard hasNoBatches(-status) else { throw failure("update", -status) }
    for entry in entries { try update(entry.key, entry.value) }
  }

  /// Deletes many entries; absent ones are skipped.
  public func delete(_ keys: [Key]) throws(Failure) {
    let raw = descriptor.raw
    var rest = keys[...]
    while !rest.isEmpty {
      var count = UInt32(rest.count)
      let status = rest.withUnsafeBytes { bpf_map_delete_batch(raw, $0.baseAddress!, &count, nil) }
      if status == 0 { return }
      if hasNoBatches(-status) {
        for key in rest { try delete(key) }
        return
      }
      // The batch stops at the first absent key; `count` is how many went before it.
      guard -status == Errno.noSuchFileOrDirectory.rawValue, count < UInt32(rest.count) else {
        throw failure("delete from", -status)
      }
      rest = rest.dropFirst(Int(count) + 1)
    }
  }

  /// Every entry; entries that come or go meanwhile may be missed. Not for per-CPU maps.
  public func entries() throws(Failure) -> [(key: Key, value: Value)] {
    var all: [(key: Key, value: Value)] = []
    for key in try keys() {
      if let value = try lookup(key) { all.append((key, value)) }
    }
    return all
  }

  /// ENOTSUPP (524) is the kernel's own number for a map type without batches, EINVAL an older
  /// kernel's; neither has stored anything.
  private func hasNoBatches(_ errno: Int32) -> Bool {
    errno == 524 || errno == Errno.invalidArgument.rawValue || errno == Errno.notSupportedOnSocket.rawValue
  }
}
