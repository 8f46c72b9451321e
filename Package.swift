// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")

// Imports go one way: culvert → Commands → Bench → {Traffic, Lab, FastPath}
// → {BPFLoader, Netlink, PacketHeaders} → LinuxSystem → C.
// Lab never imports FastPath: a baseline cannot depend on what it is compared with.
let package = Package(
  name: "culvert",
  products: [.executable(name: "culvert", targets: ["culvert"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    .systemLibrary(name: "CLibNL", pkgConfig: "libnl-3.0", providers: [.apt(["libnl-3-dev"])]),
    .systemLibrary(name: "CLibNFTables", pkgConfig: "libnftables", providers: [.apt(["libnftables-dev"])]),
    .target(
      name: "CLibXDP",
      linkerSettings: [.linkedLibrary("bpf"), .linkedLibrary("elf"), .linkedLibrary("z")]),
    .target(name: "CLinuxSystem"),
    .target(
      name: "CBPFObjects", exclude: ["generated"],
      cSettings: [.unsafeFlags(["-Wno-c23-extensions"])]),
    .target(name: "CStepReference"),
    .target(name: "LinuxSystem", dependencies: ["CLinuxSystem", system]),
    .target(name: "PacketHeaders", swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
    .target(name: "Netlink", dependencies: ["CLibNL", "PacketHeaders", "LinuxSystem", system]),
    .target(name: "BPFLoader", dependencies: ["CLibXDP", "LinuxSystem", system]),
    .target(name: "XDPSocket", dependencies: ["CLinuxSystem", "LinuxSystem", system]),
    .target(
      name: "DataPlane", dependencies: ["CBPFObjects", "CLinuxSystem", "LinuxSystem", "XDPSocket", system]),
    .target(
      name: "FastPath",
      dependencies: [
        "BPFLoader", "CBPFObjects", "CLinuxSystem", "DataPlane", "LinuxSystem", "Netlink", "PacketHeaders",
        "XDPSocket", system,
      ]),
    .target(
      name: "Lab", dependencies: ["CLibNFTables", "LinuxSystem", "Netlink", "PacketHeaders", system]),
    .target(
      name: "Traffic",
      dependencies: [
        "BPFLoader", "CBPFObjects", "CLinuxSystem", "LinuxSystem", "PacketHeaders", system, histogram,
      ]),
    .target(
      name: "Bench",
      dependencies: [
        "CLinuxSystem", "CStepReference", "DataPlane", "FastPath", "Lab", "LinuxSystem", "Netlink",
        "PacketHeaders", "Traffic", "XDPSocket", system,
      ]),
    .target(
      name: "Commands",
      dependencies: [
        "Bench", "CLinuxSystem", "DataPlane", "FastPath", "Lab", "LinuxSystem", "Netlink", arguments, system,
      ]),
    .executableTarget(name: "culvert", dependencies: ["Commands", "LinuxSystem"]),
    .target(
      name: "TestSupport", dependencies: ["CLinuxSystem", "LinuxSystem", system], path: "Tests/TestSupport"),
    .testTarget(
      name: "FastPathTests",
      dependencies: [
        "BPFLoader", "CBPFObjects", "DataPlane", "FastPath", "Lab", "LinuxSystem", "Netlink", "PacketHeaders",
        "TestSupport", "Traffic",
      ]),
    .testTarget(
      name: "DataPlaneTests", dependencies: ["CBPFObjects", "DataPlane", "TestSupport", "XDPSocket"]),
    .testTarget(
      name: "NetlinkTests", dependencies: ["Netlink", "PacketHeaders", "LinuxSystem", "TestSupport", system]),
    .testTarget(
      name: "LabTests",
      dependencies: [
        "Lab", "Netlink", "PacketHeaders", "LinuxSystem", "TestSupport", "Traffic", "culvert", system,
      ]),
    .testTarget(
      name: "CommandsTests", dependencies: ["Commands", "FastPath", "LinuxSystem", "TestSupport", "culvert"]),
    .testTarget(name: "PacketHeadersTests", dependencies: ["PacketHeaders", "TestSupport"]),
    .testTarget(
      name: "BPFProgramTests",
      dependencies: [
        "BPFLoader", "CBPFObjects", "CLibXDP", "DataPlane", "FastPath", "LinuxSystem", "PacketHeaders",
        "TestSupport",
        "XDPSocket", system,
      ]),
    .testTarget(
      name: "TrafficTests",
      dependencies: ["LinuxSystem", "Netlink", "PacketHeaders", "TestSupport", "Traffic", system, histogram]),
    .testTarget(
      name: "BenchTests",
      dependencies: [
        "BPFLoader", "Bench", "DataPlane", "FastPath", "Lab", "LinuxSystem", "TestSupport", "Traffic", "culvert",
      ]),
  ],
  swiftLanguageModes: [.v6]
)

// scripts/sanitize.sh names the targets that it tests: a build of its own takes no others than they need.
if let tested = Context.environment["CULVERT_TESTS"] {
  var needed: Set<String> = []
  func need(_ name: String) {
    guard let target = package.targets.first(where: { $0.name == name }), needed.insert(name).inserted else { return }
    for case .byNameItem(let name, _) in target.dependencies { need(name) }
  }
  for name in tested.split(separator: ",") { need(String(name)) }
  package.targets.removeAll { !needed.contains($0.name) }
  package.products = []
}

// scripts/fuzz.sh alone builds these: they link libFuzzer, which takes a build of its own.
if Context.environment["CULVERT_FUZZ"] != nil {
  package.targets += [
    .target(name: "CFuzzDriver", path: "Tests/CFuzzDriver"),
    .executableTarget(
      name: "culvert-fuzz",
      dependencies: [
        "Bench", "CBPFObjects", "CFuzzDriver", "DataPlane", "FastPath", "Netlink", "PacketHeaders",
      ],
      path: "Tests/Fuzz", exclude: ["corpus"]),
  ]
}
