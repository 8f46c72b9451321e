// SPDX-License-Identifier: Apache-2.0
import CFuzzDriver
import Glibc

// culvert-fuzz PARSER [libFuzzer's arguments]: feeds a parser what libFuzzer makes up. Built by scripts/fuzz.sh.

guard CommandLine.argc > 1, let parser = Parser(rawValue: CommandLine.arguments[1]) else {
  print(
    "usage: culvert-fuzz \(Parser.allCases.map(\.rawValue).joined(separator: "|")) [arguments of libFuzzer]")
  exit(64)
}
chosen = parser

var arguments: [UnsafeMutablePointer<CChar>?] =
  ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { strdup($0) } + [nil]
var count = Int32(arguments.count - 1)
arguments.withUnsafeMutableBufferPointer { buffer in
  var pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = buffer.baseAddress
  exit(LLVMFuzzerRunDriver(&count, &pointer) { data, size in chosen.feed(data, size) })
}
