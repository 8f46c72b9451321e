/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The two paths through a host: what the kernel's bridge and VXLAN device would do
 * with a packet whose both ends they know. Everything is decided before the first
 * byte changes: a packet that is passed is the packet that came.
 *
 * A family of programs says how packets leave, and includes this when it has:
 *   struct tx                         what it keeps of a packet from prepare to commit
 *   wire_l3_bytes, check_shape        what of the packet its egress must be able to take
 *   prepare_encap, _decap, _local     may refuse: 0, or why the packet is the kernel's; changes nothing of it
 *   commit_encap, _decap, _local      may not: what it was forwarded as (or no headroom, the packet as it came)
 */
#ifndef CULVERT_DATAPATH_H
#define CULVERT_DATAPATH_H

#include "lib/decap.h"
#include "lib/encap.h"
#include "lib/bridge.h"

/* The egress port; `bytes` is the inner frame's, `outer` what is in front of it. Returns 0, or why not. */
static __always_inline __u32 check_port(packet_t *ctx, const struct inner *in, __u32 slot, __u32 bytes, __u32 outer)
{
	struct culvert_port *port = port_at(slot);

	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(ctx, in, bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	return check_shape(ctx, port, outer + bytes);
}

static __always_inline __u32 encapsulate(packet_t *ctx, const struct inner *in, struct decision *decision,
					 struct packet_context *packet)
{
	tunnel_t *tunnel = tunnel_at(decision->target);
	struct culvert_port *uplink;
	__u32 verdict;
	struct tx tx;

	if (!packet->count)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (!tunnel)
		return CULVERT_PASS_NOT_RESOLVED;
	if (!tunnel->valid)
		return pass_reason(tunnel->reason);
	if (wire_l3_bytes(ctx, in, packet->bytes) > tunnel->mtu)
		return CULVERT_PASS_MTU;
	uplink = port_at(tunnel->uplink);
	if (!uplink || !uplink->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	verdict = check_shape(ctx, uplink, packet->bytes);
	if (verdict)
		return verdict;
	verdict = prepare_encap(ctx, in, decision, packet, tunnel, &tx);
	if (verdict)
		return verdict;
	verdict = refresh_or_cache(decision);
	return verdict ? verdict : commit_encap(ctx, in, tunnel, &tx);
}

static __always_inline __u32 from_container(packet_t *ctx, struct packet_context *packet)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct decision decision = {};
	struct inner in = {};
	__u32 verdict;
	struct tx tx;

	verdict = parse_inner(&in, frame, end);
	if (verdict)
		return verdict;
	verdict = decide_from_port(ctx, &decision, packet, frame);
	if (verdict)
		return verdict;
	packet->bytes = frame_bytes(ctx, &in);
	if (decision.kind == CULVERT_FDB_REMOTE)
		return encapsulate(ctx, &in, &decision, packet);
	if (decision.kind != CULVERT_FDB_LOCAL)
		return pass_reason(decision.target);
	if (decision.target == decision.slot)
		return CULVERT_PASS_SAME_PORT;
	verdict = check_port(ctx, &in, decision.target, packet->bytes, 0);
	if (verdict)
		return verdict;
	verdict = prepare_local(ctx, &in, &decision, &tx);
	if (verdict)
		return verdict;
	verdict = refresh_or_cache(&decision);
	return verdict ? verdict : commit_local(ctx, &tx);
}

static __always_inline __u32 from_wire(packet_t *ctx, struct packet_context *packet)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 verdict, domain = 0, recalled;
	struct decision decision = {};
	struct inner in = {};
	struct tx tx;
	__u8 tos;

	verdict = check_outer(ctx, frame, end);
	if (verdict)
		return verdict;
	if (frame + OUTER_BYTES + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	packet->bytes = outer_frame_bytes(frame);
	tos = received_tos(frame);
	decision_key(&decision, frame + OUTER_BYTES);
	decision.key.vni_be = AT32(frame, OUTER_VXLAN + 4);
	if (AT32(frame, OUTER_VXLAN) != VXLAN_FLAGS || decision.key.vni_be & bpf_htonl(0xff))
		return CULVERT_PASS_VXLAN_FLAGS;
	decision.key.vni_be |= bpf_htonl(1);
	set_outer_addresses(&decision.key, frame);
	decision.key.arrival = AT16(frame, OUTER_UDP + UDP_DESTINATION) | config.uplink << 16;
	decision.slot = config.uplink;
	recalled = decision_from_cache(&decision);
	if (!recalled) {
		verdict = domain_of(&decision.key, &domain);
		if (verdict)
			return verdict;
	}
	verdict = parse_inner(&in, frame + OUTER_BYTES, end);
	if (verdict)
		return verdict;
	if (AT16(frame, OUTER_UDP + UDP_CHECK) && !has_own_checksum(&in))
		return CULVERT_PASS_CHECKSUM;
	if (tos & ECN_MASK && (in.tos & ECN_MASK) == ECN_NOT_ECT)
		return CULVERT_PASS_ECN;
	if (!recalled) {
		verdict = decide_from_vtep(&decision, domain, in.frame);
		if (verdict)
			return verdict;
	}
	if (decision.kind != CULVERT_FDB_LOCAL)
		return decision.kind == CULVERT_FDB_REMOTE ? CULVERT_PASS_SAME_PORT : pass_reason(decision.target);
	verdict = check_port(ctx, &in, decision.target, packet->bytes - OUTER_BYTES, OUTER_BYTES);
	if (verdict)
		return verdict;
	verdict = prepare_decap(ctx, &in, &decision, tos, &tx);
	if (verdict)
		return verdict;
	verdict = refresh_or_cache(&decision);
	return verdict ? verdict : commit_decap(ctx, &in, tos, &tx);
}

#endif
