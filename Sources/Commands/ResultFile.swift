// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import SystemPackage

/// Files that results are written to and read from.
enum ResultFile {
  private static let advice = "Name a file in a folder that is there and may be written."

  /// Throws where it could not be written, and changes nothing: known before the measurement, not after it.
  static func check(_ path: String) throws(Failure) {
    if path == "-" { return }
    var status = stat()
    let isThere = stat(path, &status) == 0
    guard !isThere || status.st_mode & S_IFMT != S_IFDIR else {
      throw Failure("write", path, errno: .isDirectory, advice: advice)
    }
    let isSpecial = isThere && status.st_mode & S_IFMT != S_IFREG
    let place = isSpecial ? path : NSString(string: path).deletingLastPathComponent
    guard access(place.isEmpty ? "." : place, W_OK) == 0 else {
      throw Failure("write", path, errno: .last, advice: advice)
    }
  }

  /// Replaces it in one step: a reader, or an interruption, never meets half a file.
  /// - Parameter isQuiet: it is not the last time.
  static func write(_ data: Data, to path: String, isQuiet: Bool = false) throws(Failure) {
    if path == "-" { return try StandardStream.result([UInt8](data)) }
    let text = String(decoding: data, as: UTF8.self)
    var status = stat()
    do throws(Failure) {
      if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
        try FileText.write(text, to: path)
      } else {
        try FileText.replace(path, with: text)
      }
    } catch {
      throw Failure("write", path, errno: error.errno, advice: error.errno == .noSpace ? nil : advice)
    }
    if !isQuiet { Terminal.note("written: \(path)") }
  }

  /// - Parameter origin: the commands whose --json writes such a file.
  static func read(_ path: String, of origin: String, status: ExitStatus? = nil) throws(Failure) -> Data {
    do throws(Failure) {
      if path == "-" { return FileHandle.standardInput.readDataToEndOfFile() }
      return Data(try FileText.read(path).utf8)
    } catch {
      throw Failure(
        "read", path, errno: error.errno, advice: "Give a file of \(origin).", status: status)
    }
  }

  /// Why a file that could be read is no such result.
  static func misfit(_ data: Data, _ path: String, of origin: String, schemas: [String]) -> Failure {
    struct Kind: Decodable { var schema: String? }
    let kind = try? JSONDecoder().decode(Kind.self, from: data)
    let what =
      switch kind {
      case nil: "It is not valid JSON"
      case let kind? where kind.schema == nil: "It has no \"schema\""
      case let kind? where schemas.contains(kind.schema!): "It says \(kind.schema!), but parts of that are missing"
      case let kind?: "Its schema is \(kind.schema!)"
      }
    return Failure(
      "read", path,
      advice: "\(what). Give a file that \(origin) wrote (\(schemas.joined(separator: ", "))).",
      status: .usage)
  }
}
