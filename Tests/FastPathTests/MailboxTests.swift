// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization
import Testing

@testable import FastPath

struct MailboxTests {
  private func isReadable(_ descriptor: Int32) -> Bool {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&waiting, 1, 0) == 1
  }

  @Test func aMessageRingsAndTakingItSilences() throws {
    let mailbox = try Mailbox()
    #expect(!isReadable(mailbox.descriptor))
    #expect(mailbox.post(.ask { _ in }))
    #expect(isReadable(mailbox.descriptor))
    #expect(mailbox.take().count == 1)
    #expect(!isReadable(mailbox.descriptor))
  }

  /// The bell is there as long as the mailbox: whoever posts late rings nobody else's descriptor.
  @Test func afterTheLoopHasEndedNobodyIsLeftWaiting() throws {
    let mailbox = try Mailbox()
    let (asked, stopped) = (Answer<Bool>(), Answer<Bool>())
    #expect(mailbox.post(.ask { asked.finish(.success($0 == nil)) }))
    #expect(mailbox.post(.stop(nil) { stopped.finish(.success($0 == nil)) }))
    mailbox.close()
    #expect(try asked.wait())
    #expect(try stopped.wait())
    #expect(!mailbox.post(.ask { _ in Issue.record("served by nobody") }))
    #expect(fcntl(mailbox.descriptor, F_GETFD) >= 0)
  }

  @Test func aThreadMayBeJoinedByMany() throws {
    let done = Atomic(false)
    let gate = Answer<Void>()
    try withExtendedLifetime(gate) {
      let thread = try DedicatedThread {
        try? gate.wait()
        done.store(true, ordering: .releasing)
      }
      let joiners = try (0..<4).map { _ in
        try DedicatedThread {
          thread.join()
          let isDone = done.load(ordering: .acquiring)
          #expect(isDone)
        }
      }
      gate.finish(.success(()))
      for joiner in joiners { joiner.join() }
      thread.join()
    }
  }
}
