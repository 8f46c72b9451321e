// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier `xdp`: what the kernel's bridge and VXLAN device would do with a frame
 * whose both ends they know, done in the driver's receive path. Everything is
 * decided and computed before the first byte changes: a frame that is passed
 * is the frame that came.
 */
#include "lib/decap.h"
#include "lib/encap.h"
#include "lib/forward.h"

/* The way out by a port; `bytes` is the frame's as it came. Returns 0, or why not. */
static __always_inline __u32 check_port(struct xdp_md *ctx, __u32 slot, __u32 l3_bytes, __u32 bytes)
{
	struct culvert_port *port = port_at(slot);

	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (l3_bytes > port->mtu)
		return CULVERT_PASS_MTU;
	if (bytes != (__u32)(ctx->data_end - ctx->data) && !(port->flags & CULVERT_PORT_MULTI_BUFFER))
		return CULVERT_PASS_MULTI_BUFFER;
	return 0;
}

/* Notes where to; the frame is still as it came when there is no such device. */
static __always_inline __u32 redirect(__u32 slot)
{
	return bpf_redirect_map(&devices, slot, 0) == XDP_REDIRECT ? 0 : CULVERT_PASS_UNKNOWN_PORT;
}

static __always_inline __u32 encapsulate(struct xdp_md *ctx, const struct inner *in, struct route *route,
					 struct visit *visit)
{
	struct culvert_tunnel *tunnel = tunnel_at(route->target);
	__u32 verdict, bytes = visit->bytes;
	struct outer out;

	if (!visit->count)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (!tunnel || !tunnel->valid)
		return CULVERT_PASS_UNSUPPORTED;
	if (bytes - ETH_BYTES > tunnel->mtu)
		return CULVERT_PASS_MTU;
	verdict = check_port(ctx, CULVERT_UPLINK_SLOT, 0, bytes);
	if (verdict)
		return verdict;
	verdict = prepare_outer(ctx, &out, in, tunnel, bytes, visit->count->packets[CULVERT_FORWARDED_ENCAP]);
	if (verdict)
		return verdict;
	verdict = route_settle(route);
	if (verdict)
		return verdict;
	verdict = redirect(CULVERT_UPLINK_SLOT);
	if (verdict)
		return verdict;
	if (bpf_xdp_adjust_head(ctx, -OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	write_outer(ctx, &out, tunnel);
	return CULVERT_FORWARDED_ENCAP;
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
	verdict = redirect(route.target);
	return verdict ? verdict : CULVERT_FORWARDED_LOCAL;
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
	verdict = redirect(route.target);
	if (verdict)
		return verdict;
	if (bpf_xdp_adjust_head(ctx, OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	if (tos & ECN_MASK)
		write_ecn(ctx, tos);
	return CULVERT_FORWARDED_DECAP;
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
