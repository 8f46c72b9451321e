/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How routed packets leave in tier `tc`: as skbs, whose segments and unfinished checksums stay what they are. */
#ifndef CULVERT_ROUTED_SKB_H
#define CULVERT_ROUTED_SKB_H

#include "lib/routed_hop.h"
#include "lib/skb_frame.h"

struct routed_tx {
	struct outer out;
	struct culvert_port *port;
	struct scratch *made;
};

/* Address, port and layer 4's checksum of the packet whose Ethernet header is at `frame`. `check` is IPv4's header checksum,
 * to be written by the caller. The packet is writable by now. */
static __always_inline void translate(struct __sk_buff *skb, const struct translation *nat, __u8 protocol,
				      const __u32 frame, __be16 *check, const int is_ip4)
{
	const __u32 ip = frame + ETH_BYTES, l4 = ip + (is_ip4 ? IP4_BYTES : IP6_BYTES);
	const __u32 size = is_ip4 ? sizeof(nat->address.words[0]) : sizeof(nat->address);
	__u32 at = l4 + (protocol == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK);
	__u64 flags = protocol == IPPROTO_TCP ? 0 : BPF_F_MARK_MANGLED_0;
	struct address address = nat->address;
	__be16 port = nat->port;

	if (is_ip4) {
		bpf_l4_csum_replace(skb, at, nat->address_before.words[0], address.words[0],
				    flags | BPF_F_PSEUDO_HDR | size);
		*check = ~fold((__u64)(__u16)~*check + (__u32)~nat->address_before.words[0] + address.words[0]);
		bpf_skb_store_bytes(skb, ip + (nat->is_reply ? IP4_SOURCE : IP4_DESTINATION), &address, size, 0);
	} else {
		bpf_l4_csum_replace(skb, at, 0, address_difference(nat), flags | BPF_F_PSEUDO_HDR | ip6_checksum_flag);
		bpf_skb_store_bytes(skb, ip + (nat->is_reply ? IP6_SOURCE : IP6_DESTINATION), &address, size, 0);
	}
	if (port == nat->port_before)
		return;
	bpf_l4_csum_replace(skb, at, nat->port_before, port, flags | sizeof(port));
	bpf_skb_store_bytes(skb, l4 + (nat->is_reply ? 0 : 2), &port, sizeof(port), 0);
}

/* Translation, and the word that next_hop_word() gave, into the packet whose Ethernet header is at `frame`. */
static __always_inline void write_ip(struct __sk_buff *skb, const struct translation *nat, __u8 protocol, __u32 word,
				     const __u32 frame, const int is_ip4)
{
	__u8 hop_limit = word;

	if (nat->is_translated)
		translate(skb, nat, protocol, frame, (__be16 *)&word + 1, is_ip4);
	if (is_ip4)
		bpf_skb_store_bytes(skb, frame + ETH_BYTES + IP4_TTL, &word, sizeof(word), 0);
	else
		bpf_skb_store_bytes(skb, frame + ETH_BYTES + IP6_HOP_LIMIT, &hop_limit, sizeof(hop_limit),
				    BPF_F_RECOMPUTE_CSUM);
}

/* The frame is the inner one by now. */
static __always_inline void write_hop(struct __sk_buff *skb, const struct routed_outcome *outcome, __u8 protocol, __u32 word,
				      const int is_ip4)
{
	__u32 macs[3] = { outcome->route.macs[0], outcome->route.macs[0] >> 32, outcome->route.macs[1] };

	bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
	write_ip(skb, &outcome->nat, protocol, word, 0, is_ip4);
}

static __always_inline __u32 prepare_encap(struct __sk_buff *skb, const struct inner *in,
					   const struct routed_outcome *outcome, struct packet_context *packet,
					   tunnel_t *tunnel, struct culvert_port *uplink, struct routed_tx *tx,
					   const int is_ip4)
{
	struct flow flow = { .segments = segments_of(skb, in) };
	__u32 zero = 0;

	tx->port = uplink;
	tx->made = bpf_map_lookup_elem(&scratch, &zero);
	if (!tx->made)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (OUTER_CHECKSUM_IS_OPTIONAL && tunnel->flags & CULVERT_TUNNEL_UDP_CSUM && skb->gso_size && exact_checksums)
		return CULVERT_PASS_CHECKSUM;
	flow.hash = bpf_get_hash_recalc(skb) ?: flow_hash(in);
	flow.port = device_source_port(flow.hash, tunnel);
	flow.delta = routed_delta(in, outcome, is_ip4);
	return prepare_outer(skb, &tx->out, in, tunnel, packet->bytes, flow, !skb->gso_size);
}

static __always_inline __u32 commit_encap(struct __sk_buff *skb, const struct inner *in, const struct routed_outcome *outcome,
					  tunnel_t *tunnel, struct routed_tx *tx, const int is_ip4)
{
	__u32 word = next_hop_word(in->frame + ETH_BYTES, is_ip4);
	__u8 protocol = in->protocol;
	void *made = tx->made;

	AT64(made, OUTER_BYTES) = outcome->route.macs[0];
	AT32(made, OUTER_BYTES + 8) = outcome->route.macs[1];
	AT16(made, OUTER_BYTES + 12) = is_ip4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	write_outer(made, &tx->out, tunnel);
	if (bpf_skb_adjust_room(skb, OUTER_BYTES, BPF_ADJ_ROOM_MAC, ADJ_ROOM_ENCAP))
		return CULVERT_PASS_HEADROOM;
	bpf_skb_store_bytes(skb, 0, made, sizeof(*tx->made), 0);
	write_ip(skb, &outcome->nat, protocol, word, OUTER_BYTES, is_ip4);
	bpf_redirect(tx->port->ifindex, 0);
	return CULVERT_FORWARDED_ENCAP;
}

static __always_inline __u32 prepare_local(struct __sk_buff *skb, const struct inner *in,
					   const struct routed_outcome *outcome, struct culvert_port *port,
					   struct packet_context *packet, struct routed_tx *tx)
{
	tx->port = port;
	return 0;
}

static __always_inline __u32 commit_local(struct __sk_buff *skb, const struct inner *in, const struct routed_outcome *outcome,
					  struct routed_tx *tx, const int is_ip4)
{
	write_hop(skb, outcome, in->protocol, next_hop_word(in->frame + ETH_BYTES, is_ip4), is_ip4);
	deliver(skb, tx->port, may_enter(tx->port, (void *)outcome->route.macs));
	return CULVERT_FORWARDED_LOCAL;
}

static __always_inline __u32 prepare_decap(struct __sk_buff *skb, const struct inner *in,
					   const struct routed_outcome *outcome, struct culvert_port *port,
					   struct packet_context *packet, struct routed_tx *tx, const int is_ip4)
{
	tx->port = port;
	/* The marks of a tunnel stay on merged packets; a UDP socket cannot cut such datagrams up again. */
	if (skb->gso_size && in->protocol != IPPROTO_TCP && !(decap_flags & ADJ_ROOM_DECAP_L4_UDP))
		return CULVERT_PASS_UNSUPPORTED;
	/* Where another IP inside cannot be told to the kernel, the skb looks like one of the outer's. */
	if (!is_of_outer_protocol(is_ip4) && !(decap_flags & ADJ_ROOM_DECAP_L3))
		return CULVERT_PASS_UNSUPPORTED;
	return 0;
}

static __always_inline __u32 commit_decap(struct __sk_buff *skb, const struct inner *in, const struct routed_outcome *outcome,
					  struct routed_tx *tx, const int is_ip4)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | (decap_flags & ADJ_ROOM_DECAP_L4_UDP);
	__u16 type = is_ip4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	__u32 word = next_hop_word(in->frame + ETH_BYTES, is_ip4);
	int enters = may_enter(tx->port, (void *)outcome->route.macs);
	__u8 protocol = in->protocol;

	if (!is_of_outer_protocol(is_ip4))
		flags |= ADJ_ROOM_DECAP_L3;
	if (bpf_skb_adjust_room(skb, -OUTER_BYTES, BPF_ADJ_ROOM_MAC, flags))
		return CULVERT_PASS_HEADROOM;
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	write_hop(skb, outcome, protocol, word, is_ip4);
	bpf_skb_store_bytes(skb, ETH_TYPE, &type, sizeof(type), 0);
	deliver(skb, tx->port, enters);
	return CULVERT_FORWARDED_DECAP;
}

#include "lib/routed_port.h"
#include "lib/routed_uplink.h"

#endif
