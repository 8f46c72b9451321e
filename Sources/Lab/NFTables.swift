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
        "set rules of", subject, advice: "\(first); NAT needs nf_tables, nft_chain_nat and nft_masq.",
        status: .unavailable)
    }
  }

  /// Also where there is none.
  static func remove(table: String, on subject: String) throws(Failure) {
    try run("add table ip \(table)\ndelete table ip \(table)\n", on: subject)
  }
}
