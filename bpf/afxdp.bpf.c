// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier `afxdp`: decides as tier `xdp` does, and hands what may be forwarded to
 * the forwarder in user space, which encapsulates and sends. What it could not
 * serve never gets there: from user space nothing can be given back.
 */
#include "lib/decap.h"
#include "lib/encap.h"
#include "lib/forward.h"

/* Frames longer than this do not fit into the forwarder's memory. */
const volatile __u32 frame_limit = 1792;

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, CULVERT_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

static __always_inline __u32 check_port(struct xdp_md *ctx, __u32 slot, __u32 l3_bytes, __u32 bytes)
{
	struct culvert_port *port = port_at(slot);

	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (l3_bytes > port->mtu)
		return CULVERT_PASS_MTU;
	if (bytes != (__u32)(ctx->data_end - ctx->data) || bytes > frame_limit)
		return CULVERT_PASS_MULTI_BUFFER;
	return 0;
}

/* To the socket of the queue that the frame came by, with what to do. */
static __always_inline __u32 hand_over(struct xdp_md *ctx, __u32 from, __u32 target, __u32 verdict)
{
	struct culvert_handover *handover;
	__u32 queue = ctx->rx_queue_index;

	if (queue >= CULVERT_QUEUES || bpf_redirect_map(&sockets, from * CULVERT_QUEUES + queue, 0) != XDP_REDIRECT)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*handover)))
		return CULVERT_PASS_HEADROOM;
	handover = (void *)(long)ctx->data_meta;
	if ((void *)(handover + 1) > (void *)(long)ctx->data)
		return CULVERT_PASS_HEADROOM;
	handover->target = target;
	handover->verdict = verdict;
	return verdict;
}

static __always_inline __u32 encapsulate(struct xdp_md *ctx, const struct inner *in, struct route *route,
					 struct visit *visit)
{
	struct culvert_tunnel *tunnel = tunnel_at(route->target);
	__u32 verdict, bytes = visit->bytes;

	if (!tunnel || !tunnel->valid)
		return CULVERT_PASS_UNSUPPORTED;
	if (bytes - ETH_BYTES > tunnel->mtu)
		return CULVERT_PASS_MTU;
	verdict = check_port(ctx, CULVERT_UPLINK_SLOT, 0, bytes);
	if (verdict)
		return verdict;
	verdict = route_settle(route);
	if (verdict)
		return verdict;
	return hand_over(ctx, route->slot, route->target, CULVERT_FORWARDED_ENCAP);
}

static __always_inline __u32 from_container(struct xdp_md *ctx, struct visit *visit)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct route route = {};
	struct inner in = {};
	__u32 verdict;

	verdict = parse_inner(&in, frame, end);
	if (verdict)
		return verdict;
	verdict = route_from_port(ctx, &route, visit, frame);
	if (verdict)
		return verdict;
	visit->bytes = frame_bytes(ctx, &in, 0);
	if (route.kind == CULVERT_FDB_REMOTE)
		return encapsulate(ctx, &in, &route, visit);
	if (route.kind != CULVERT_FDB_LOCAL)
		return CULVERT_PASS_UNSUPPORTED;
	if (route.target == route.slot)
		return CULVERT_PASS_SAME_PORT;
	verdict = check_port(ctx, route.target, visit->bytes - ETH_BYTES, visit->bytes);
	if (verdict)
		return verdict;
	verdict = route_settle(&route);
	if (verdict)
		return verdict;
	return hand_over(ctx, route.slot, route.target, CULVERT_FORWARDED_LOCAL);
}

static __always_inline __u32 from_wire(struct xdp_md *ctx, struct visit *visit)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 verdict, segment = 0, recalled;
	struct route route = {};
	struct inner in = {};
	__u8 tos;

	verdict = check_outer(ctx, frame, end);
	if (verdict)
		return verdict;
	if (frame + OUTER_BYTES + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	visit->bytes = ETH_BYTES + bpf_ntohs(AT16(frame, OUTER_IP + IP4_LENGTH));
	tos = AT8(frame, OUTER_IP + IP4_TOS);
	route_key(&route, frame + OUTER_BYTES);
	route.key.vni_be = AT32(frame, OUTER_VXLAN + 4);
	if (AT32(frame, OUTER_VXLAN) != VXLAN_FLAGS || route.key.vni_be & bpf_htonl(0xff))
		return CULVERT_PASS_VXLAN_FLAGS;
	route.key.vni_be |= bpf_htonl(1);
	route.key.local = AT32(frame, OUTER_IP + IP4_DESTINATION);
	route.key.from = AT32(frame, OUTER_IP + IP4_SOURCE);
	route.slot = CULVERT_UPLINK_SLOT;
	recalled = route_recall(&route);
	if (!recalled) {
		verdict = segment_of(&route.key, &segment);
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
		verdict = route_from_vtep(&route, segment, in.frame);
		if (verdict)
			return verdict;
	}
	if (route.kind != CULVERT_FDB_LOCAL)
		return route.kind == CULVERT_FDB_REMOTE ? CULVERT_PASS_SAME_PORT : CULVERT_PASS_UNSUPPORTED;
	verdict = check_port(ctx, route.target, visit->bytes - OUTER_BYTES - ETH_BYTES, visit->bytes);
	if (verdict)
		return verdict;
	verdict = route_settle(&route);
	if (verdict)
		return verdict;
	return hand_over(ctx, CULVERT_UPLINK_SLOT, route.target, CULVERT_FORWARDED_DECAP);
}

/* On the host's end of each container's veth. */
SEC("xdp.frags") int culvert_port(struct xdp_md *ctx)
{
	struct visit visit = {};

	return finish(ctx, &visit, from_container(ctx, &visit));
}

/* On the underlay's interface. */
SEC("xdp.frags") int culvert_uplink(struct xdp_md *ctx)
{
	struct visit visit = {};

	came_by(&visit, CULVERT_UPLINK_SLOT);
	return finish(ctx, &visit, from_wire(ctx, &visit));
}

char _license[] SEC("license") = "Dual BSD/GPL";
