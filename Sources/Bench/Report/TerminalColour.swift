// SPDX-License-Identifier: Apache-2.0

/// Select Graphic Rendition (ECMA-48) of a report's text on a terminal.
enum TerminalColour: String {
  case red = "31"
  case green = "32"
}

extension String {
  func painted(_ colour: TerminalColour?, where isColoured: Bool) -> String {
    guard isColoured, let colour else { return self }
    return "\u{1b}[\(colour.rawValue)m\(self)\u{1b}[0m"
  }
}
