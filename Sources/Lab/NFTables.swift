// SPDX-License-Identifier: Apache-2.0
import CLibNFTables
import LinuxSystem

/// nftables of the calling thread's namespace, through libnftables(3).
enum NFTables {
  /// Runs commands as nft(8) reads them, all or none.
  static func run(_ commands: String, on subject: String) throws(Failure) {
    guard let context = nft_ctx_new(UInt32(NFT_CTX_DEFAULT)) else {
      throw Failure("open", "nftables", errno: .last, advice: "Run as root.")
    }
    defer { nft_ctx_free(context) }
    nft_ctx_buffer_error(context)
    guard nft_run_cmd_from_buffer(context, commands) == 0 else {
      let words = nft_ctx_get_error_buffer(context).map { String(cString: $0) } ?? ""
      let first = words.split(separator: "\n").first.map(String.init) ?? "no reason given"
      // The commands are ours: what the kernel refuses of them it does not have.
      throw Failure(
        "set rules of", subject,
        advice:
          "\(first); the rules need nf_tables with nft_chain_nat, nft_nat, nft_masq, nft_ct and nft_fib.",
        status: .unavailable)
    }
  }

  /// Also where there is none.
  /// - Parameter tables: each with its family, as "ip filter".
  static func remove(_ tables: [String], on subject: String) throws(Failure) {
    guard !tables.isEmpty else { return }
    try run(tables.map { "add table \($0)\ndelete table \($0)\n" }.joined(), on: subject)
  }
}
