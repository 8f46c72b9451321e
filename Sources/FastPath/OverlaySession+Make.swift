// SPDX-License-Identifier: Apache-2.0

/// The session that an overlay's shape asks for; runs in its namespace. Attaches nothing yet.
func makeSession(
  _ options: FastPathOptions, _ underlays: Underlays, report: @escaping (String) -> Void
) throws -> any OverlaySession {
  try RoutedSession.concerns(options)
    ? RoutedSession(options, underlays, report: report) : Engine(options, underlays, report: report)
}
