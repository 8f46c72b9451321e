// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

extension BPFProgram {
  /// What one run over one packet came to.
  public struct RunResult: Sendable {
    /// The program's return value; nil in `action` when it is none of XDP's.
    public var value: UInt32
    public var data: [UInt8]
    /// Mean of the repetitions; the kernel's own measurement.
    public var nanoseconds: UInt32
    public var action: XDPAction? { XDPAction(rawValue: value) }
  }

  /// BPF_PROG_TEST_RUN: runs over `packet` as if received; no redirect takes place.
  /// - Parameters:
  ///   - ingress: interface index in the caller's namespace; nil is its `lo`.
  ///   - metadata: bytes in front of the packet, a multiple of 4; they take from the headroom.
  ///   - repetitions: more than one runs over what the run before left.
  public func testRun(
    _ packet: [UInt8], ingress: UInt32? = nil, metadata: [UInt8] = [], repetitions: Int32 = 1
  ) throws(Failure) -> RunResult {
    let input = metadata + packet
    var output = [UInt8](repeating: 0, count: input.count + 512)
    var context = xdp_md()
    context.data = UInt32(metadata.count)
    context.data_end = UInt32(input.count)
    context.ingress_ifindex = ingress ?? 0
    var options = bpf_test_run_opts()
    options.sz = MemoryLayout<bpf_test_run_opts>.size
    options.repeat = repetitions
    let raw = descriptor.raw
    let status = input.withUnsafeBytes { input in
      output.withUnsafeMutableBytes { output in
        withUnsafePointer(to: &context) { context in
          options.data_in = input.baseAddress
          options.data_size_in = UInt32(input.count)
          options.data_out = output.baseAddress
          options.data_size_out = UInt32(output.count)
          if ingress != nil || !metadata.isEmpty {
            options.ctx_in = UnsafeRawPointer(context)
            options.ctx_size_in = UInt32(MemoryLayout<xdp_md>.size)
          }
          return bpf_prog_test_run_opts(raw, &options)
        }
      }
    }
    guard status == 0 else {
      throw Failure("test-run BPF program", name, errno: Errno(rawValue: -status))
    }
    output.removeSubrange(Int(options.data_size_out)...)
    return RunResult(value: options.retval, data: output, nanoseconds: options.duration)
  }

  /// The same for a program of tc, over an skb that holds `packet` in its linear part.
  /// - Parameters:
  ///   - ifindex: device that it came by; it must not be given with a packet shorter than Ethernet.
  public func testRunSKB(
    _ packet: [UInt8], ifindex: UInt32? = nil, mark: UInt32 = 0, segmentSize: UInt32 = 0
  ) throws(Failure) -> RunResult {
    var context = __sk_buff()
    context.mark = mark
    context.ifindex = ifindex ?? 0
    context.gso_size = segmentSize
    context.gso_segs = segmentSize == 0 ? 0 : UInt32(packet.count) / segmentSize + 1
    var output = [UInt8](repeating: 0, count: packet.count + 512)
    var options = bpf_test_run_opts()
    options.sz = MemoryLayout<bpf_test_run_opts>.size
    options.repeat = 1
    let raw = descriptor.raw
    let status = packet.withUnsafeBytes { input in
      output.withUnsafeMutableBytes { output in
        withUnsafePointer(to: &context) { context in
          options.data_in = input.baseAddress
          options.data_size_in = UInt32(input.count)
          options.data_out = output.baseAddress
          options.data_size_out = UInt32(output.count)
          options.ctx_in = UnsafeRawPointer(context)
          options.ctx_size_in = UInt32(MemoryLayout<__sk_buff>.size)
          return bpf_prog_test_run_opts(raw, &options)
        }
      }
    }
    guard status == 0 else {
      throw Failure("test-run BPF program", name, errno: Errno(rawValue: -status))
    }
    output.removeSubrange(Int(options.data_size_out)...)
    return RunResult(value: options.retval, data: output, nanoseconds: options.duration)
  }

  /// BPF_F_TEST_XDP_LIVE_FRAMES: runs over `repetitions` copies of `packet` as if received on
  /// `ingress` and carries out what the program returns. Setting up costs some 20 ms per call.
  /// Returns when all have run; a signal (EINTR) ends it early without an error.
  /// Pages are recycled: the packet is written once per page, not once per frame.
  public func runLiveFrames(
    _ packet: [UInt8], ingress: UInt32, repetitions: Int32, batch: UInt32 = 64
  ) throws(Failure) {
    var context = xdp_md()
    context.data_end = UInt32(packet.count)
    context.ingress_ifindex = ingress
    var options = bpf_test_run_opts()
    options.sz = MemoryLayout<bpf_test_run_opts>.size
    options.repeat = repetitions
    options.flags = UInt32(BPF_F_TEST_XDP_LIVE_FRAMES)
    options.batch_size = batch
    let raw = descriptor.raw
    let status = packet.withUnsafeBytes { input in
      withUnsafePointer(to: &context) { context in
        options.data_in = input.baseAddress
        options.data_size_in = UInt32(input.count)
        options.ctx_in = UnsafeRawPointer(context)
        options.ctx_size_in = UInt32(MemoryLayout<xdp_md>.size)
        return bpf_prog_test_run_opts(raw, &options)
      }
    }
    let errno = Errno(rawValue: -status)
    guard status == 0 || errno == .interrupted else {
      throw Failure("run live frames through", name, errno: errno)
    }
  }
}
