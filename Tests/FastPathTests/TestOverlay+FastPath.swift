// SPDX-License-Identifier: Apache-2.0
import FastPath
import TestSupport

extension TestOverlay {
  func options(_ host: String, _ change: (inout FastPathOptions) -> Void = { _ in }) -> FastPathOptions {
    var options = FastPathOptions(overlay: "br0", namespace: hosts[host]!.path)
    options.entryCapacity = 4096
    options.portCapacity = 32
    options.tier = .xdp
    // A tier is tested, not when it leaves traffic alone.
    options.carriesBulk = true
    change(&options)
    if options.tier == nil || options.tier == .tc { options.carriesBulk = false }
    return options
  }

  func start(_ host: String, _ change: (inout FastPathOptions) -> Void = { _ in }) throws -> FastPathService {
    try FastPathService.start(options(host, change))
  }
}
