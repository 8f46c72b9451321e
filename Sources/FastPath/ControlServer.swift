// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import Synchronization
import SystemPackage

/// Answers at the control sockets of overlays on a thread of its own: a client that says nothing, says it byte by byte or
/// does not take its answer holds up neither the fast path nor another client.
final class ControlServer: Sendable {
  /// A client's request at the socket `path`; `reply` may be called from any thread, once.
  typealias Handler =
    @Sendable (_ path: String, ControlRequest, _ reply: @escaping @Sendable ([UInt8]) -> Void) -> Void

  private struct State {
    var replies: [(client: UInt64, line: [UInt8])] = []
    var listeners: [String: Listening] = [:]
    var isStopping = false
  }
  private final class Listening: Sendable {
    let listener: ControlListener
    init(_ path: String) throws { listener = try ControlListener(path: path) }
  }
  private let state: Shared
  private let thread: DedicatedThread

  /// What the server and those who answer share.
  private final class Shared: Sendable {
    let state = Mutex(State())
    let bell: Bell
    init() throws(Failure) { bell = try Bell() }
    func change(_ body: (inout State) -> Void) {
      state.withLock { body(&$0) }
      bell.ring()
    }
  }

  /// - Parameter patience: nanoseconds that a client may take to ask, and to take its answer.
  init(patience: UInt64 = 5_000_000_000, handler: @escaping Handler) throws {
    let shared = try Shared()
    state = shared
    thread = try DedicatedThread {
      var loop = Loop(shared, handler, patience)
      loop.run()
    }
  }

  func listen(at path: String) throws {
    let listening = try Listening(path)
    state.change { $0.listeners[path] = listening }
  }

  /// Who has asked there already is answered.
  func close(_ path: String) { state.change { $0.listeners[path] = nil } }

  /// Sends what has been answered, closes the socket and returns.
  func stop() {
    state.change { $0.isStopping = true }
    thread.join()
    state.change { $0.listeners = [:] }
  }

  private struct Client {
    let descriptor: Box<OwnedDescriptor>
    /// Of the socket that it asks at.
    let path: String
    let isRoot: Bool
    var received: [UInt8] = []
    var toSend: [UInt8] = []
    /// Its request is whole, and is being answered.
    var isServed = false
    /// When it is given up; none while it waits for its answer.
    var deadline: UInt64?
  }

  private struct Loop {
    /// Somebody who opens connections and says nothing can hold so many.
    static let mostClients = 32
    /// For what has been answered when the fast path ends.
    static let lastPatience: UInt64 = 1_000_000_000

    let shared: Shared
    let handler: Handler
    let patience: UInt64
    var clients: [UInt64: Client] = [:]
    var next: UInt64 = 0

    init(_ shared: Shared, _ handler: @escaping Handler, _ patience: UInt64) {
      self.shared = shared
      self.patience = patience
      self.handler = handler
    }

    mutating func run() {
      var stopBy: UInt64?
      while true {
        shared.bell.silence()
        let (replies, listeners, isStopping) = shared.state.withLock { state in
          defer { state.replies = [] }
          return (state.replies, state.listeners, state.isStopping)
        }
        for reply in replies { queue(reply.line, for: reply.client) }
        let now = Clock.monotonicNanoseconds
        for (id, client) in clients where (client.deadline ?? .max) <= now { clients[id] = nil }
        if isStopping {
          stopBy = stopBy ?? now + Self.lastPatience
          clients = clients.filter { !$0.value.toSend.isEmpty }
          if clients.isEmpty || now >= stopBy! { return }
        }
        wait(for: isStopping ? [:] : listeners, until: stopBy)
      }
    }

    private mutating func queue(_ line: [UInt8], for id: UInt64) {
      clients[id]?.toSend = line
      clients[id]?.deadline = Clock.monotonicNanoseconds + patience
      send(id)
    }

    private mutating func wait(for listeners: [String: Listening], until stopBy: UInt64?) {
      let paths = mayAccept ? Array(listeners.keys) : []
      let ids = Array(clients.keys)
      var waiting = [pollfd(fd: shared.bell.descriptor, events: Int16(POLLIN), revents: 0)]
      for path in paths {
        let raw = listeners[path]!.listener.descriptor.raw
        waiting.append(pollfd(fd: raw, events: Int16(POLLIN), revents: 0))
      }
      for id in ids {
        let client = clients[id]!
        let events = client.toSend.isEmpty ? (client.isServed ? 0 : POLLIN) : POLLOUT
        waiting.append(pollfd(fd: client.descriptor.value.raw, events: Int16(events), revents: 0))
      }
      let deadlines = clients.values.compactMap(\.deadline) + [stopBy].compactMap { $0 }
      let now = Clock.monotonicNanoseconds
      let milliseconds = deadlines.min().map { $0 <= now ? 0 : Int32(($0 - now) / 1_000_000) + 1 } ?? -1
      guard poll(&waiting, nfds_t(waiting.count), milliseconds) > 0 else { return }
      for (id, state) in zip(ids, waiting.dropFirst(1 + paths.count)) where state.revents != 0 {
        let client = clients[id]!
        if !client.toSend.isEmpty {
          send(id)
        } else if client.isServed {
          // It has gone; its answer finds nobody.
          clients[id] = nil
        } else {
          receive(id)
        }
      }
      for (path, state) in zip(paths, waiting.dropFirst()) where state.revents != 0 {
        accept(listeners[path]!, path)
      }
    }

    /// Clients that are still to say what they want give way to a new one; those that wait for an answer do not.
    private var mayAccept: Bool {
      clients.count < Self.mostClients || clients.values.contains { !$0.isServed }
    }

    private mutating func accept(_ listening: Listening, _ path: String) {
      guard let descriptor = listening.listener.accept() else { return }
      if clients.count >= Self.mostClients {
        let silent = clients.filter { !$0.value.isServed }
        let victim = silent.min { ($0.value.isRoot ? 1 : 0, $0.key) < ($1.value.isRoot ? 1 : 0, $1.key) }
        if let victim { clients[victim.key] = nil }
      }
      let isRoot = [0, Int64(geteuid())].contains(culvert_peer_uid(descriptor.value.raw))
      clients[next] = Client(
        descriptor: descriptor, path: path, isRoot: isRoot, deadline: Clock.monotonicNanoseconds + patience)
      next += 1
    }

    private mutating func receive(_ id: UInt64) {
      var chunk = [UInt8](repeating: 0, count: ControlProtocol.longestRequest)
      let count = recv(clients[id]!.descriptor.value.raw, &chunk, chunk.count, Int32(MSG_DONTWAIT))
      guard count > 0 else {
        if count == 0 || ![.interrupted, .resourceTemporarilyUnavailable].contains(Errno.last) {
          clients[id] = nil
        }
        return
      }
      clients[id]!.received += chunk[..<count]
      let received = clients[id]!.received
      if let end = received.firstIndex(of: UInt8(ascii: "\n")) {
        serve(id, Array(received[..<end]))
      } else if received.count > ControlProtocol.longestRequest {
        refuse(id, ControlRefusal(.unknownRequest, "The request is too long."))
      }
    }

    private mutating func serve(_ id: UInt64, _ line: [UInt8]) {
      switch ControlRequest.parse(line) {
      case .failure(let refusal): refuse(id, refusal)
      case .success(let request) where request.isRootsAlone && !clients[id]!.isRoot:
        refuse(id, ControlRefusal(.privileges, "Only root may change it."))
      case .success(let request):
        clients[id]!.isServed = true
        clients[id]!.deadline = nil
        let shared = self.shared
        handler(clients[id]!.path, request) { line in shared.change { $0.replies.append((id, line)) } }
      }
    }

    private mutating func refuse(_ id: UInt64, _ refusal: ControlRefusal) {
      clients[id]!.isServed = true
      queue(ControlProtocol.line(ControlReply<String>(.failure(refusal))), for: id)
    }

    private mutating func send(_ id: UInt64) {
      guard let client = clients[id] else { return }
      let count = client.toSend.withUnsafeBytes {
        Glibc.send(
          client.descriptor.value.raw, $0.baseAddress, $0.count,
          Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      }
      if count < 0, [.interrupted, .resourceTemporarilyUnavailable].contains(Errno.last) { return }
      if count <= 0 || count == client.toSend.count {
        // What is left unread would take the answer away again (ECONNRESET).
        var rest = [UInt8](repeating: 0, count: 65_536)
        var turns = 16
        while turns > 0, recv(client.descriptor.value.raw, &rest, rest.count, Int32(MSG_DONTWAIT)) > 0 {
          turns -= 1
        }
        clients[id] = nil
      } else {
        clients[id]!.toSend.removeFirst(count)
      }
    }
  }
}
