// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization

/// A network namespace under /run/netns, as `ip netns add` makes it, removed with this value. Nothing here holds
/// it open, so that `remove` is what it is for a container runtime: the last holder lets go. What a killed test
/// process left is removed by the next one's first namespace.
public final class TestNamespace: Sendable {
  public let name: String
  public var path: String { Self.folder + name }

  private static let folder = "/run/netns/"
  private static let prefix = "cvtest-"
  /// Of this process; a process ID alone is used again.
  private static let own = "\(prefix)\(getpid())-\(startTime(of: getpid()) ?? 0)-"
  private static let removedLeftovers: Void = removeLeftovers()
  private static let made = Atomic<Int>(0)

  public init() throws {
    Self.removedLeftovers
    name = Self.own + String(Self.made.add(1, ordering: .relaxed).newValue)
    try shell("ip", "netns", "add", name)
  }

  deinit { remove() }

  /// As `ip netns del`.
  public func remove() { Self.remove(name) }

  /// Runs `body` inside, on a thread of its own.
  public func run<T>(_ body: () throws -> T) throws -> T { try NetworkNamespace.open(path).run(body) }

  private static func remove(_ name: String) {
    umount2(folder + name, Int32(MNT_DETACH))
    unlink(folder + name)
  }

  /// Those whose process is gone, or is another by now.
  private static func removeLeftovers() {
    for name in Folder.names(folder) where name.hasPrefix(prefix) {
      let words = name.dropFirst(prefix.count).split(separator: "-")
      guard words.count == 3, let process = pid_t(words[0]), let start = UInt64(words[1]),
        startTime(of: process) != start
      else { continue }
      remove(name)
    }
  }

  /// Field 22 of /proc/PID/stat: the second field may hold spaces, but ends at the last bracket.
  private static func startTime(of process: pid_t) -> UInt64? {
    guard let text = try? FileText.read("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else {
      return nil
    }
    let fields = text[end...].split(separator: " ")
    return fields.count > 20 ? UInt64(fields[20]) : nil
  }
}

/// A host's or a container's namespace, and what is done in it.
public struct TestNode: Sendable {
  public let namespace: TestNamespace
  public var path: String { namespace.path }
  public init() throws { namespace = try TestNamespace() }

  @discardableResult
  public func shell(_ command: String) throws -> String {
    try run { try TestSupport.shell(command.split(separator: " ").map(String.init)) }
  }

  /// Commands of ip(8), without its name, by one process: a topology takes dozens.
  public func ip(_ commands: String...) throws { try ip(commands) }

  public func ip(_ commands: [String]) throws {
    guard !commands.isEmpty else { return }
    let input = commands.joined(separator: "\n") + "\n"
    _ = try run { try TestSupport.shell(["ip", "-batch", "-"], input: input) }
  }

  /// What a command prints, whatever its status.
  public func output(_ command: String) throws -> String {
    do { return try shell(command) } catch let failure as ShellFailure { return failure.output }
  }

  public func run<T>(_ body: () throws -> T) throws -> T { try namespace.run(body) }

  /// A noncopyable value made inside, such as a socket, used from anywhere.
  public func open<T: ~Copyable>(_ body: () throws -> T) throws -> T {
    try NetworkNamespace.open(namespace.path).opening(body)
  }

  /// A key of sysctl(8) with slashes, such as net/ipv4/ip_forward.
  public func set(_ key: String, _ value: String) throws {
    try run { try FileText.write(value, to: "/proc/sys/\(key)") }
  }

  /// Until the kernel has seen its carrier, and its bridge lets it forward: before, packets are lost.
  public func waitUntilUp(_ device: String, isPort: Bool = false) throws {
    let isUp = try eventually {
      let link = try shell("ip -o link show dev \(device)")
      return try link.contains("LOWER_UP") && !link.contains("qdisc noop")
        && (!isPort || shell("bridge link show dev \(device)").contains("state forwarding"))
    }
    guard isUp else { throw Failure("wait for", device, advice: try shell("ip -d link show dev \(device)")) }
  }

  public func mac(of device: String) throws -> String {
    let text = try shell("ip -o link show dev \(device)")
    return String(text.split(separator: " ").drop { $0 != "link/ether" }.dropFirst().first!)
  }

  public func mtu(of device: String) throws -> Int {
    let words = try shell("ip -o link show dev \(device)").split(separator: " ")
    guard let mtu = words.drop(while: { $0 != "mtu" }).dropFirst().first.flatMap({ Int($0) }) else {
      throw Failure("find the MTU of", device)
    }
    return mtu
  }

  public func has(_ device: String) throws -> Bool {
    do { return try !shell("ip -o link show dev \(device)").isEmpty } catch is ShellFailure { return false }
  }

  /// What ethtool says of a device's offloads, by their names.
  public func features(of device: String) throws -> [String: String] {
    let pairs = try shell("ethtool -k \(device)").split(separator: "\n").compactMap {
      line -> (String, String)? in
      let words = line.split(separator: ":")
      guard words.count == 2, let value = words[1].split(separator: " ").first else { return nil }
      return (words[0].filter { $0 != "\t" && $0 != " " }, String(value))
    }
    return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
  }

  /// How many of `count` pings are answered.
  /// - Parameter patience: seconds that the last one is waited for; less where none is expected.
  public func answers(
    _ address: String, count: Int = 5, interval: Double = 0.01, patience: Double = 1, options: String = ""
  ) throws -> Int {
    let text = try output("ping -n -q -c \(count) -i \(interval) -W \(patience) \(options) \(address)")
    let words = text.split(whereSeparator: { $0 == " " || $0 == "\n" })
    guard let place = words.firstIndex(of: "received,"), let count = Int(words[place - 1]) else {
      throw Failure("ping", address, advice: text)
    }
    return count
  }

  /// A counter of a device, such as rx_packets.
  public func counter(_ name: String, of device: String) throws -> UInt64 {
    // Of /proc/net/dev, since /sys shows the namespace that mounted it.
    let order = [
      "rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "", "", "", "", "tx_bytes", "tx_packets",
    ]
    let text = try run { try FileText.read("/proc/thread-self/net/dev") }
    for line in text.split(separator: "\n") {
      let words = line.split(whereSeparator: { $0 == " " || $0 == ":" })
      if words.first == device[...], let place = order.firstIndex(of: name) {
        return UInt64(words[place + 1])!
      }
    }
    throw Failure("find", device)
  }

  /// One of nstat(8)'s, such as TcpRetransSegs.
  public func counter(_ name: String) throws -> Int {
    let text = try shell("nstat -asz \(name)")
    let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
    guard let value = line?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
      throw Failure("read", name)
    }
    return value
  }
}

extension NetworkNamespace {
  /// What `body` opens on a thread that is here.
  public borrowing func opening<T: ~Copyable>(_ body: () throws -> T) throws -> T {
    var made: T?
    try run { made = try body() }
    return made.take()!
  }
}
