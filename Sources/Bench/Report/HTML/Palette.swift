// SPDX-License-Identifier: Apache-2.0

/// One colour per network throughout a page: distinct for all kinds of colour vision (after Okabe and Ito),
/// the baseline neutral.
struct Palette: Sendable {
  private var classes: [String: String] = [:]

  /// On light and on dark ground.
  private static let colours: [(light: String, dark: String)] = [
    ("#0072b2", "#56b4e9"), ("#009e73", "#2fc79a"), ("#d55e00", "#ff8c3b"), ("#b3588a", "#dd8fb9"),
    ("#8a6d00", "#e6c229"), ("#5b5fc7", "#9ea2ff"), ("#00798c", "#4dd0e1"), ("#8c4a2f", "#d9a08a"),
    ("#5d7a1f", "#a9c76a"), ("#b0195d", "#ff85b3"), ("#41576b", "#b3c4d4"),
    ("#7a3db8", "#c79bf2"), ("#2f6b2f", "#86d186"), ("#6d6259", "#c9bdb1"),
  ]

  init(networks: [String], baseline: String) {
    classes[baseline] = "base"
    // Tiers first: they are what the page is about.
    let others = networks.filter { $0 != baseline }
    let ordered = others.filter { $0.contains("+") } + others.filter { !$0.contains("+") }
    for (index, network) in ordered.enumerated() { classes[network] = "n\(index % Self.colours.count)" }
  }

  func style(of network: String) -> String { classes[network] ?? "base" }

  static var lightVariables: String {
    colours.enumerated().map { "--n\($0.offset):\($0.element.light);" }.joined()
  }
  static var darkVariables: String {
    colours.enumerated().map { "--n\($0.offset):\($0.element.dark);" }.joined()
  }
  static var rules: String {
    (["base"] + colours.indices.map { "n\($0)" }).map { ".\($0){--c:var(--\($0))}" }.joined()
  }
}
