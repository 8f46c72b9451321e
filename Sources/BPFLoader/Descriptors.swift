// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// A copy of a descriptor that libbpf owns, for an owner that may outlive the object.
func duplicateDescriptor(_ raw: Int32) throws(Failure) -> OwnedDescriptor {
  let copy = fcntl(raw, F_DUPFD_CLOEXEC, 0)
  guard copy >= 0 else { throw Failure("duplicate", "descriptor \(raw)", errno: .last) }
  return OwnedDescriptor(adopting: copy)
}
