// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Glibc
import LinuxSystem

extension BPFObject {
  /// The bench object with these of its programs, loaded.
  static func bench(
    _ programs: Set<String>, filter: culvert_sink_filter? = nil
  ) throws(Failure) -> BPFObject {
    let embedded = culvert_bpf_bench()
    var object = try BPFObject(name: "bench", data: embedded.data, size: embedded.size)
    if let filter { try object.set("filter", to: filter) }
    for program in object.programNames where !programs.contains(program) {
      try object.skip(program: program)
    }
    try object.load()
    return object
  }
}

extension SharedNamespace {
  /// if_nametoindex(3) inside the namespace.
  func index(of interface: String) throws -> UInt32 {
    try value.run {
      let index = if_nametoindex(interface)
      guard index != 0 else { throw Failure("find", "interface \(interface)", errno: .last) }
      return index
    }
  }
}
