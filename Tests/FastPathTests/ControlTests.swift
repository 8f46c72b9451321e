// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import Synchronization
import Testing

@testable import FastPath

/// The control protocol, both ends: a server without a fast path behind it, and clients that misbehave.
struct ControlTests {
  /// A control socket in a folder of its own; answers every request with its word.
  final class Server: Sendable {
    let directory: RuntimeDirectory
    let server: ControlServer

    /// - Parameter patience: an hour, so that nothing is served because another was given up.
    init(patience: UInt64 = 3600 * 1_000_000_000, handler: @escaping ControlServer.Handler = Server.echo)
      throws
    {
      let path = FileManager.default.temporaryDirectory.path + "/culvert-control-\(UUID().uuidString)"
      try Folder.make(path)
      directory = RuntimeDirectory(path: path)
      server = try ControlServer(patience: patience, handler: handler)
      try server.listen(at: directory.socketPath)
    }

    static let echo: ControlServer.Handler = { _, request, reply in
      reply(ControlProtocol.line(ControlReply(.success(request.name))))
    }

    deinit {
      server.stop()
      directory.remove()
    }

    func ask(_ request: ControlRequest = .status) throws -> String? {
      guard
        case .answered(let text) = try FastPath.ask(directory, request, as: String.self, milliseconds: 10_000)
      else { return nil }
      return text
    }

    /// A connection that has sent `bytes`, and nothing else.
    func connect(sending bytes: [UInt8] = []) throws -> OwnedDescriptor {
      let raw = try #require(
        try connectTo(directory.socketPath), "nobody listens at \(directory.socketPath)")
      _ = send(raw, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      return OwnedDescriptor(adopting: raw)
    }

    /// What comes back to a raw line.
    func answer(to line: String) throws -> String {
      let client = try connect(sending: Array("\(line)\n".utf8))
      var waiting = pollfd(fd: client.raw, events: Int16(POLLIN), revents: 0)
      try #require(poll(&waiting, 1, 10_000) == 1)
      return try FileText.read(client, "the control socket")
    }
  }

  private static func connectTo(_ path: String) throws -> Int32? {
    let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if status == 0 { return raw }
    close(raw)
    return nil
  }

  @Test func aRequestIsAnswered() throws {
    let server = try Server()
    #expect(try server.ask(.status) == "status")
    #expect(try server.ask(.down) == "down")
  }

  /// Whoever speaks otherwise is told so in the protocol's words.
  @Test(arguments: [
    ("status", "version", "older"),
    (
      #"{"schema":"culvert.control/9","culvert":"9.1","request":"status"}"#, "version",
      "9.1 asked by culvert.control/9"
    ),
    ("{\u{0}}", "version", "no line of JSON"), ("", "version", "no line of JSON"),
    (#"{"schema":"culvert.control/1"}"#, "unknown-request", "nothing to do"),
    (#"{"schema":"culvert.control/1","culvert":"x","request":"sing"}"#, "unknown-request", "sing"),
    (String(repeating: "x", count: 10_000), "unknown-request", "too long"),
  ])
  func whatIsNotUnderstoodIsRefusedByName(line: String, kind: String, text: String) throws {
    let server = try Server()
    let answer = try server.answer(to: line)
    let reply = try JSONDecoder().decode(ControlReply<String>.self, from: Data(answer.utf8))
    #expect(reply.schema == ControlProtocol.schema && reply.culvert == Build.version && reply.body == nil)
    #expect(reply.error?.kind.rawValue == kind)
    #expect(reply.error?.text.contains(text) == true, "\(reply.error?.text ?? "nothing")")
    #expect(try server.ask() == "status", "and others are served")
  }

  private static let request = ServeRequest(
    overlays: ["br1"], path: "/proc/1/ns/net", namespace: nil, options: FastPathOptions(overlay: "br1"))

  /// By either side: the older one would leave out the options that it does not know, and say nothing.
  @Test func nothingIsHandedOverBetweenVersions() throws {
    let server = try Server()
    #expect(try server.ask(.serve(Self.request)) == "serve")
    let asked = String(decoding: ControlRequest.serve(Self.request).line.dropLast(), as: UTF8.self)
    let older = asked.replacingOccurrences(of: "\"culvert\":\"\(Build.version)\"", with: "\"culvert\":\"0.0.9\"")
    #expect(older != asked)
    let answer = try server.answer(to: older)
    let reply = try JSONDecoder().decode(ControlReply<String>.self, from: Data(answer.utf8))
    #expect(reply.body == nil && reply.error?.kind == .version)
    for words in ["culvert \(Build.version)", "culvert 0.0.9", "/proc/\(getpid())/exe up --detach", "culvert down"] {
      #expect(reply.error?.text.contains(words) == true, "\(words): \(reply.error?.text ?? "nothing")")
    }
    // What only reads is answered.
    #expect(try server.answer(to: older.replacingOccurrences(of: "\"serve\"", with: "\"status\"")).contains("\"body\""))
  }

  @Test func nothingIsHandedOverToAnotherVersion() throws {
    let asked = Mutex<[String]>([])
    let server = try Server { _, request, reply in
      asked.withLock { $0.append(request.name) }
      let line = String(decoding: ControlProtocol.line(ControlReply(.success(request.name))), as: UTF8.self)
      reply(Array(line.replacingOccurrences(of: Build.version, with: "0.0.9").utf8))
    }
    let failure = #expect(throws: Failure.self) { try server.ask(.serve(Self.request)) }
    let text = failure.map { "\($0)" } ?? ""
    #expect(text.contains("culvert 0.0.9") && text.contains("culvert \(Build.version)") && text.contains("culvert down"), "\(text)")
    #expect(asked.withLock { $0 } == ["status"], "and it has not seen what would be lost")
    #expect(try server.ask(.status) == "status")
  }

  /// Neither those that say nothing nor one that says it byte by byte.
  @Test func silentClientsHoldNobodyUp() throws {
    let server = try Server()
    var silent: [Box<OwnedDescriptor>] = []
    for _ in 0..<100 {
      silent.append(Box(try server.connect(sending: Array("{".utf8))))
      guard silent.count % 10 == 0 else { continue }
      #expect(try server.ask() == "status")
    }
  }

  @Test func whoeverSaysNothingIsGivenUp() throws {
    let server = try Server(patience: 1_000_000)
    let client = try server.connect(sending: Array("{".utf8))
    var waiting = pollfd(fd: client.raw, events: Int16(POLLIN), revents: 0)
    #expect(poll(&waiting, 1, 10_000) == 1)
    #expect(try FileText.read(client, "the socket").isEmpty, "its connection is closed")
  }

  /// An answer that nobody takes, larger than any socket's buffer.
  @Test func oneThatDoesNotTakeItsAnswerHoldsNobodyUp() throws {
    let large = String(repeating: "x", count: 8 << 20)
    let server = try Server { _, request, reply in
      reply(ControlProtocol.line(ControlReply(.success(request.name == "stats" ? large : "short"))))
    }
    let client = try server.connect(sending: ControlRequest.stats.line)
    var waiting = pollfd(fd: client.raw, events: Int16(POLLIN), revents: 0)
    #expect(poll(&waiting, 1, 10_000) == 1, "its answer has begun")
    #expect(try server.ask() == "short")
    #expect(try server.ask(.stats) == large, "and whoever takes it gets all of it")
  }

  /// The engine is busy with one client's question while another's is answered.
  @Test func answersMayComeInAnyOrder() throws {
    let kept = Answer<@Sendable () -> Void>()
    let server = try Server { _, request, reply in
      let answer: @Sendable () -> Void = {
        reply(ControlProtocol.line(ControlReply(.success(request.name))))
      }
      if request.name == "stats" { kept.finish(.success(answer)) } else { answer() }
    }
    let first = Answer<String?>()
    let asking = try DedicatedThread { first.finish(Result { try server.ask(.stats) }) }
    let release = try kept.wait()
    #expect(try server.ask(.status) == "status")
    release()
    #expect(try first.wait() == "stats")
    asking.join()
  }

  @Test func whatWasAnsweredIsSentBeforeItEnds() throws {
    let server = try Server()
    let client = try server.connect(sending: ControlRequest.down.line)
    var waiting = pollfd(fd: client.raw, events: Int16(POLLIN), revents: 0)
    #expect(poll(&waiting, 1, 10_000) == 1)
    server.server.stop()
    #expect(try FileText.read(client, "the socket").contains("\"body\":\"down\""))
    #expect(try server.ask() == nil, "nobody listens any more")
  }

  private static let owner = Owner(pid: 4711, startTime: 1, overlay: "br0", namespace: "ns")

  /// What an answer says of a sender that is another version, or none of ours.
  @Test(arguments: [
    (#"{"error":"unknown request"}"#, ["older culvert", "kill 4711"]),
    (#"{"schema":"culvert.status/1","pid":4711}"#, ["older culvert"]),
    (
      #"{"schema":"culvert.control/2","culvert":"0.9.0","body":{}}"#,
      ["0.9.0", "culvert.control/2", "/proc/4711/exe status"]
    ),
    (#"{"schema":"culvert.control/1","culvert":"0.0.9","body":{"pid":1}}"#, ["0.0.9", "lacks"]),
    ("SSH-2.0-OpenSSH_9.2", ["no reply of culvert's", "SSH-2.0"]),
  ])
  func anAnswerThatCannotBeReadSaysWhoSentIt(line: String, words: [String]) throws {
    let failure = #expect(throws: Failure.self) {
      _ = try understand(Array(line.utf8), .status, from: Self.owner) as ControlOutcome<Status>
    }
    for word in words { #expect(failure?.advice?.contains(word) == true, "\(failure?.advice ?? "nothing")") }
    #expect(failure?.description.contains("DecodingError") == false)
    #expect(failure?.subject.contains("4711") == true)
  }

  @Test func refusalsReachTheUserAsFailures() throws {
    func outcome(_ refusal: ControlRefusal) throws -> ControlOutcome<Status> {
      let line = ControlProtocol.line(ControlReply<Status>(.failure(refusal)))
      return try understand(line.dropLast(), .down, from: Self.owner)
    }
    let failed = #expect(throws: Failure.self) { _ = try outcome(ControlRefusal(.failed, "eth0 is gone")) }
    #expect(failed?.advice == "eth0 is gone")
    let privileges = #expect(throws: Failure.self) { _ = try outcome(ControlRefusal(.privileges, "root")) }
    #expect(privileges?.status == .needsPrivileges)
    guard case .ending = try outcome(ControlRefusal(.ending, "It is ending.")) else {
      Issue.record("one that ends is not a failure")
      return
    }
  }
}
