// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

/// A compiled BPF object: opened, configured, then loaded into the kernel.
/// Its programs and maps live at least as long as this value; links, and what
/// `program` and `map` returned, keep theirs beyond that.
public struct BPFObject: ~Copyable {
  public let name: String
  private let object: OpaquePointer
  private var loaded = false

  private static let capture: Void = culvert_bpf_capture()

  /// Opens an embedded object. `data` must stay where it is: it is read in place.
  public init(name: String, data: UnsafeRawPointer, size: Int) throws(Failure) {
    Self.capture
    culvert_bpf_log_clear()
    guard let object = culvert_bpf_open(name, data, size) else {
      throw Failure("open BPF object", name, errno: .last, advice: Self.log(lines: 5))
    }
    self.name = name
    self.object = object
  }

  deinit { bpf_object__close(object) }

  // MARK: Before `load`

  /// Sets a map's max_entries.
  public func resize(_ map: String, to entries: UInt32) throws(Failure) {
    try check(bpf_map__set_max_entries(find(map), entries), "resize map", map)
  }

  /// Makes a map of this object the one that `descriptor` stands for.
  public func share(_ map: String, descriptor: Int32) throws(Failure) {
    try check(bpf_map__reuse_fd(find(map), descriptor), "share map", map)
  }

  /// Makes this object's maps those of `other` that have the same names, but for its variables and `own`.
  public func shareMaps(of other: borrowing BPFObject, except own: Set<String> = []) throws(Failure) {
    var map = bpf_object__next_map(object, nil)
    while let present = map {
      let name = String(cString: bpf_map__name(present))
      if !bpf_map__is_internal(present), !own.contains(name) {
        try share(name, descriptor: bpf_map__fd(other.find(name)))
      }
      map = bpf_object__next_map(object, present)
    }
  }

  public var programNames: [String] {
    var names: [String] = []
    var program = bpf_object__next_program(object, nil)
    while let present = program {
      names.append(String(cString: bpf_program__name(present)))
      program = bpf_object__next_program(object, present)
    }
    return names
  }

  /// Leaves a program out.
  public func skip(program: String) throws(Failure) {
    guard let found = bpf_object__find_program_by_name(object, program) else {
      throw Failure("find BPF program", program, errno: .noSuchFileOrDirectory)
    }
    try check(bpf_program__set_autoload(found, false), "skip program", program)
  }

  /// The initial value of a global variable (constant or not).
  public func set<Value: BitwiseCopyable>(_ variable: String, to value: Value) throws(Failure) {
    var size = 0
    guard !loaded, let place = culvert_bpf_variable(object, variable, &size) else {
      throw Failure(
        "set BPF variable", variable, advice: loaded ? "Set variables before loading." : nil)
    }
    guard size == MemoryLayout<Value>.size else {
      throw Failure(
        "set BPF variable", variable,
        advice: "It has \(size) bytes, \(Value.self) has \(MemoryLayout<Value>.size).")
    }
    place.storeBytes(of: value, as: Value.self)
  }

  /// Loads programs and maps. A refusal carries the end of the verifier's log.
  public mutating func load() throws(Failure) {
    culvert_bpf_log_clear()
    let status = bpf_object__load(object)
    guard status == 0 else {
      let errno = Errno(rawValue: -status)
      let advice =
        errno == .notPermitted
        ? "Run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON." : Self.log(lines: 25)
      throw Failure("load BPF object", name, errno: errno, advice: advice)
    }
    loaded = true
  }

  // MARK: After `load`

  public func program(_ name: String) throws(Failure) -> BPFProgram {
    guard let found = bpf_object__find_program_by_name(object, name) else {
      throw Failure("find BPF program", name, errno: .noSuchFileOrDirectory)
    }
    return try BPFProgram(name: name, borrowing: bpf_program__fd(found))
  }

  /// A map by its name in the source. `Key` and `Value` must have its sizes.
  public func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    _ name: String, key: Key.Type = Key.self, value: Value.Type = Value.self
  ) throws(Failure) -> BPFMap<Key, Value> {
    try BPFMap(name: name, borrowing: bpf_map__fd(find(name)))
  }

  /// Of a map whose keys and values are nobody's to read one by one.
  public func descriptor(ofMap name: String) throws(Failure) -> OwnedDescriptor {
    try duplicateDescriptor(bpf_map__fd(find(name)))
  }

  /// The object's type information; it lives as long as the object.
  public var btf: OpaquePointer? { bpf_object__btf(object) }

  private func find(_ map: String) throws(Failure) -> OpaquePointer {
    guard let found = bpf_object__find_map_by_name(object, map) else {
      throw Failure("find BPF map", map, errno: .noSuchFileOrDirectory)
    }
    return found
  }

  private func check(_ status: Int32, _ operation: String, _ subject: String) throws(Failure) {
    guard status < 0 else { return }
    throw Failure(operation, subject, errno: Errno(rawValue: -status), advice: Self.log(lines: 5))
  }

  /// The last lines that libbpf said on this thread.
  private static func log(lines: Int) -> String? {
    let text = String(cString: culvert_bpf_log())
    let all = text.split(separator: "\n", omittingEmptySubsequences: true)
    return all.isEmpty ? nil : all.suffix(lines).joined(separator: "\n  ")
  }
}
