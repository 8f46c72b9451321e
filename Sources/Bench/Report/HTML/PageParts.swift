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

  /// The result in a sentence, what it was measured on, and what makes it less than a result.
  static func header(_ sentence: String, _ circumstances: Markup, warnings: [String?]) -> Markup {
    let notes = warnings.compactMap(\.self).map { text -> Markup in "<p class=\"warn\">\(text)</p>" }
    return """
      <header><h1>\(sentence)</h1><p class="soft">\(circumstances)</p>\(notes)</header>

      """
  }

  static let debugWarning = "Debug build: these timings say little."
  static let interruptedWarning = "Interrupted: what is missing was not measured."

  /// A network by its colour.
  static func key(_ name: String, _ style: String) -> Markup {
    "<span class=\"key \(style)\"></span>\(name)"
  }

  /// Lines under a caption, figures on the right; nothing where there are no lines.
  static func table(_ caption: String, _ head: [String], _ rows: [[Markup]]) -> Markup {
    table(caption, head, groups: [("", rows)])
  }

  /// The same in groups, each with a line of its own above it where it has a name.
  static func table(_ caption: String, _ head: [String], groups: [(name: String, rows: [[Markup]])]) -> Markup {
    guard groups.contains(where: { !$0.rows.isEmpty }) else { return "" }
    let titles = head.enumerated().map { index, text -> Markup in
      "<th scope=\"col\"\(index == 0 ? Markup("") : Markup(" class=\"num\""))>\(text)</th>"
    }
    let bodies = groups.map { group -> Markup in
      let lines = group.rows.map { row -> Markup in
        let cells = row.enumerated().map { index, cell -> Markup in
          index == 0 ? "<th scope=\"row\">\(cell)</th>" : "<td class=\"num\">\(cell)</td>"
        }
        return "<tr>\(cells)</tr>\n"
      }
      let title: Markup =
        group.name.isEmpty
        ? "" : "<tr><th scope=\"rowgroup\" class=\"group\" colspan=\"\(head.count)\">\(group.name)</th></tr>\n"
      return "<tbody>\(title)\(lines)</tbody>"
    }
    let words: Markup = caption.isEmpty ? "" : "<caption>\(caption)</caption>"
    return """
      <div class="wide"><table class="lines">\(words)<thead><tr>\(titles)</tr></thead>
      \(bodies)</table></div>

      """
  }

  /// Terms, each with a line that explains it; whatever names one can lead there.
  static func glossary(_ title: String, id: String, _ terms: [(id: String, term: Markup, text: Markup)]) -> Markup {
    guard !terms.isEmpty else { return "" }
    let lines = terms.map { one -> Markup in
      "<dt id=\"\(one.id)\">\(one.term)</dt><dd>\(one.text)</dd>\n"
    }
    return "<section id=\"\(id)\"><h2>\(title)</h2><dl class=\"terms\">\n\(lines)</dl></section>\n"
  }

  /// Every figure that medians are of.
  static func samples(_ results: [ABReport.Result]) -> Markup {
    let blocks = results.filter { !$0.samples.isEmpty }.map { result -> Markup in
      """
      <p class="samples"><b>\(result.network)</b> \(result.row.title), \(result.row.conditions), \(result.unit): \
      \(result.samples.map { Quantity.plain($0) }.joined(separator: " "))</p>

      """
    }
    return "<details><summary>Every sample</summary>\(blocks)</details>"
  }

  /// The result itself, within the page.
  static func download(_ json: Data, as name: String, schema: String) -> Markup {
    """
    <p><a download="\(name)" href="data:application/json;base64,\(json.base64EncodedString())">The result as JSON</a> \
    <span class="soft">(schema \(schema))</span></p>
    """
  }
}
