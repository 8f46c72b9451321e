// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import SystemPackage

public enum CPU {
  public static var count: Int { Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// Pins the calling thread.
  public static func pin(to cpu: Int) throws(Failure) {
    let status = culvert_pin(Int32(cpu))
    guard status == 0 else {
      throw Failure("pin to", "CPU \(cpu)", errno: Errno(rawValue: -status), advice: advice)
    }
  }

  /// Throws where a thread of this process may not be pinned there.
  public static func check(_ cpu: Int) throws(Failure) {
    guard let allowed, !allowed.isEmpty, !allowed.contains(cpu) else { return }
    throw Failure("pin to", "CPU \(cpu)", errno: .invalidArgument, advice: advice, status: .usage)
  }

  private static var advice: String? { allowedText.map { "This process may use CPUs \($0)." } }

  /// As proc(5) has it, such as 0-1,4.
  private static var allowedText: String? {
    let status = try? FileText.read("/proc/thread-self/status")
    let line = status?.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    return line?.split(separator: "\t").last.map(String.init)
  }

  private static var allowed: Set<Int>? {
    allowedText.map { text in
      Set(
        text.split(separator: ",").flatMap { range -> [Int] in
          let ends = range.split(separator: "-").compactMap { Int($0) }
          guard let first = ends.first, let last = ends.last, first <= last else { return [] }
          return Array(first...last)
        })
    }
  }

  /// Puts the calling thread into SCHED_IDLE (sched(7)): it runs when nothing else wants to.
  public static func yieldToAll() throws(Failure) {
    let status = culvert_set_idle_class()
    guard status == 0 else {
      throw Failure("set", "scheduling class SCHED_IDLE", errno: Errno(rawValue: -status))
    }
  }
}

public enum Clock {
  /// CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns.
  @inline(__always)
  public static var monotonicNanoseconds: UInt64 { culvert_monotonic_ns() }

  /// Of a jiffy.
  public static var tickNanoseconds: UInt64 { culvert_tick_ns() }

  /// CPU time of the calling thread.
  @inline(__always)
  public static var threadCPUNanoseconds: UInt64 { culvert_thread_cpu_ns() }
}
