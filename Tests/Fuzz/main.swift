// SPDX-License-Identifier: Apache-2.0
import CFuzzDriver
import Glibc

// culvert-fuzz [libFuzzer's arguments]: feeds the parser that CULVERT_FUZZ_PARSER names what libFuzzer makes up.
// Built by scripts/fuzz.sh.

/// By this name libFuzzer's own main function, which is linked too, would ask for it.
@_cdecl("LLVMFuzzerTestOneInput")
func feedChosen(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 { Parser.chosen.feed(data, size) }

var count = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(LLVMFuzzerRunDriver(&count, &arguments, feedChosen))
