// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What every page is made of.
extension Markup {
  /// One self-contained XHTML page.
  static func page(_ title: String, _ sections: [Markup]) -> Markup {
    """
    <!DOCTYPE html>
    <html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>\
    <meta name="viewport" content="width=device-width, initial-scale=1"/>\
    <title>\(title)</title>\
    <style>\(Markup(source: PageStyle.sheet))</style></head><body><main>
    \(sections)</main></body></html>

    """
  }

  /// Lines under a caption, figures on the right; nothing where there are no lines.
  static func table(_ caption: String, _ head: [String], _ rows: [[Markup]]) -> Markup {
    guard !rows.isEmpty else { return "" }
    let titles = head.enumerated().map { index, text -> Markup in
      "<th scope=\"col\"\(index == 0 ? Markup("") : Markup(" class=\"num\""))>\(text)</th>"
    }
    let lines = rows.map { row -> Markup in
      let cells = row.enumerated().map { index, cell -> Markup in
        index == 0 ? "<th scope=\"row\">\(cell)</th>" : "<td class=\"num\">\(cell)</td>"
      }
      return "<tr>\(cells)</tr>\n"
    }
    return """
      <div class="wide"><table class="lines"><caption>\(caption)</caption><thead><tr>\(titles)</tr></thead><tbody>
      \(lines)</tbody></table></div>

      """
  }

  /// The result itself, within the page.
  static func download(_ json: Data, as name: String, schema: String) -> Markup {
    """
    <p><a download="\(name)" href="data:application/json;base64,\(json.base64EncodedString())">The result as JSON</a> \
    <span class="soft">(schema \(schema))</span></p>
    """
  }
}
