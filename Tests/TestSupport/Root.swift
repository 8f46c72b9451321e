// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc

/// Whether tests that need namespaces and BPF can run. In CI they always do: there
/// a missing privilege is a failure, not a skip.
public let mayUseKernel = geteuid() == 0 || ProcessInfo.processInfo.environment["CI"] != nil
public let needsRoot = "needs root, for network namespaces and BPF"
