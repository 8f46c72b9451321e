/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How routed packets leave in tier `xdp`: headers are rewritten in place, then a redirect. */
#ifndef CULVERT_ROUTED_XDP_H
#define CULVERT_ROUTED_XDP_H

#include "lib/routed_hop.h"
#include "lib/xdp_egress.h"

struct routed_tx {
	struct outer out;
};

/* RFC 1624, equation 3. `check` is a checksum's field, `differing` the sum of what comes and of the complement of what goes. */
static __always_inline __u16 renewed(__u16 check, __u64 differing)
{
	return ~fold((__u64)(__u16)~check + differing);
}

/* Address, port and layer 4's checksum of the packet at `ip`. `check` is IPv4's header checksum, to be written by the
 * caller. Only what has a checksum of its own is translated here. */
static __always_inline void translate(void *ip, void *end, const struct translation *nat, __u8 protocol, __be16 *check,
				      const int is_ip4)
{
	void *l4 = ip + (is_ip4 ? IP4_BYTES : IP6_BYTES), *at = l4 + (protocol == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK);
	__u64 address, port = (__u64)nat->port + (__u16)~nat->port_before;
	__u16 made;

	if (at + 2 > end || l4 + UDP_BYTES > end) /* the verifier's case, never so */
		return;
	if (is_ip4) {
		address = (__u64)(__u32)~nat->address_before.words[0] + nat->address.words[0];
		*check = renewed(*check, address);
		AT32(ip, nat->is_reply ? IP4_SOURCE : IP4_DESTINATION) = nat->address.words[0];
	} else {
		void *place = ip + (nat->is_reply ? IP6_SOURCE : IP6_DESTINATION);

		address = address_difference(nat);
		AT32(place, 0) = nat->address.words[0];
		AT32(place, 4) = nat->address.words[1];
		AT32(place, 8) = nat->address.words[2];
		AT32(place, 12) = nat->address.words[3];
	}
	made = renewed(AT16(at, 0), address + port);
	/* RFC 768: zero would say that there is none. */
	AT16(at, 0) = made || protocol == IPPROTO_TCP ? made : 0xffff;
	AT16(l4, nat->is_reply ? 0 : 2) = nat->port;
}

/* MACs, translation, and the word that next_hop_word() gave, into the packet whose Ethernet header is at `frame`. */
static __always_inline void write_hop(void *frame, void *end, const struct routed_outcome *outcome, __u8 protocol,
				      __u32 word, const int is_ip4)
{
	void *ip = frame + ETH_BYTES;

	if (ip + (is_ip4 ? IP4_BYTES : IP6_BYTES) > end) /* the verifier's case, never so */
		return;
	AT64(frame, 0) = outcome->route.macs[0];
	AT32(frame, 8) = outcome->route.macs[1];
	if (outcome->nat.is_translated)
		translate(ip, end, &outcome->nat, protocol, (__be16 *)&word + 1, is_ip4);
	if (is_ip4)
		AT32(ip, IP4_TTL) = word;
	else
		AT8(ip, IP6_HOP_LIMIT) = word;
}

static __always_inline __u32 check_translation(const struct inner *in, const struct routed_outcome *outcome)
{
	return outcome->nat.is_translated && !has_own_checksum(in) ? CULVERT_PASS_CHECKSUM : 0;
}

static __always_inline __u32 prepare_encap(struct xdp_md *ctx, const struct inner *in, const struct routed_outcome *outcome,
					   struct packet_context *packet, tunnel_t *tunnel, struct culvert_port *uplink,
					   struct routed_tx *tx, const int is_ip4)
{
	struct flow flow = { .hash = flow_hash(in), .segments = 1, .delta = routed_delta(in, outcome, is_ip4) };
	__u32 verdict = check_shape(ctx, uplink, packet->bytes) ?: check_translation(in, outcome);

	if (verdict)
		return verdict;
	flow.port = source_port(flow.hash, tunnel);
	verdict = prepare_outer(ctx, &tx->out, in, tunnel, packet->bytes, flow, 1);
	return verdict ?: redirect(tunnel->uplink);
}

static __always_inline __u32 commit_encap(struct xdp_md *ctx, const struct inner *in, const struct routed_outcome *outcome,
					  tunnel_t *tunnel, struct routed_tx *tx, const int is_ip4)
{
	__u32 word = next_hop_word(in->frame + ETH_BYTES, is_ip4);
	void *frame, *end;

	if (bpf_xdp_adjust_head(ctx, -OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	frame = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (frame + OUTER_BYTES > end) /* the verifier's case, never so */
		return CULVERT_FORWARDED_ENCAP;
	write_outer(frame, &tx->out, tunnel);
	write_hop(frame + OUTER_BYTES, end, outcome, in->protocol, word, is_ip4);
	return CULVERT_FORWARDED_ENCAP;
}

static __always_inline __u32 prepare_local(struct xdp_md *ctx, const struct inner *in, const struct routed_outcome *outcome,
					   struct culvert_port *port, struct packet_context *packet, struct routed_tx *tx)
{
	return check_shape(ctx, port, packet->bytes) ?: check_translation(in, outcome) ?: redirect(outcome->target);
}

static __always_inline __u32 commit_local(struct xdp_md *ctx, const struct inner *in, const struct routed_outcome *outcome,
					  struct routed_tx *tx, const int is_ip4)
{
	write_hop(in->frame, in->end, outcome, in->protocol, next_hop_word(in->frame + ETH_BYTES, is_ip4), is_ip4);
	return CULVERT_FORWARDED_LOCAL;
}

static __always_inline __u32 prepare_decap(struct xdp_md *ctx, const struct inner *in, const struct routed_outcome *outcome,
					   struct culvert_port *port, struct packet_context *packet, struct routed_tx *tx,
					   const int is_ip4)
{
	return prepare_local(ctx, in, outcome, port, packet, tx);
}

static __always_inline __u32 commit_decap(struct xdp_md *ctx, const struct inner *in, const struct routed_outcome *outcome,
					  struct routed_tx *tx, const int is_ip4)
{
	__u32 word = next_hop_word(in->frame + ETH_BYTES, is_ip4);

	if (bpf_xdp_adjust_head(ctx, OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	write_hop((void *)(long)ctx->data, (void *)(long)ctx->data_end, outcome, in->protocol, word, is_ip4);
	return CULVERT_FORWARDED_DECAP;
}

#include "lib/routed_port.h"
#include "lib/routed_uplink.h"

#endif
