// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier `xdp`: what the kernel's bridge and VXLAN device would do with a frame
 * whose both ends they know, done in the driver's receive path. Everything is
 * decided and computed before the first byte changes: a frame that is passed
 * is the frame that came.
 */
#include "lib/count.h"
#include "lib/decap.h"
#include "lib/encap.h"

/* The way out to a container's port. Returns 0, or why not. */
static __always_inline __u32 check_port(struct xdp_md *ctx, __u32 slot, __u32 l3_bytes, __u32 frame_end)
{
	struct culvert_port *port = port_at(slot);

	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (l3_bytes > port->mtu)
		return CULVERT_PASS_MTU;
	if (frame_end != (__u32)(ctx->data_end - ctx->data) && !(port->flags & CULVERT_PORT_MULTI_BUFFER))
		return CULVERT_PASS_MULTI_BUFFER;
	return 0;
}

static __always_inline __u32 encapsulate(struct xdp_md *ctx, const struct inner *in, struct visit *visit,
					 __u32 slot, struct culvert_fdb_entry *source)
{
	struct culvert_tunnel *tunnel = tunnel_at(slot);
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
	if (refresh_due(source))
		return CULVERT_PASS_REFRESH;
	/* Only notes where to: the frame is still as it came when there is no such device. */
	if (bpf_redirect_map(&devices, CULVERT_UPLINK_SLOT, 0) != XDP_REDIRECT)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (bpf_xdp_adjust_head(ctx, -OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	write_outer(ctx, &out, tunnel);
	return CULVERT_FORWARDED_ENCAP;
}

static __always_inline __u32 from_container(struct xdp_md *ctx, struct visit *visit)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct culvert_fdb_entry *source, *destination;
	struct culvert_port *port;
	struct inner in = {};
	__u32 verdict;

	verdict = parse_inner(&in, frame, end);
	if (verdict)
		return verdict;
	source = fdb_lookup(config.segment, frame + 6);
	if (!source)
		return CULVERT_PASS_UNKNOWN_SOURCE;
	if (source->kind != CULVERT_FDB_LOCAL)
		return source->kind == CULVERT_FDB_REMOTE ? CULVERT_PASS_MOVED_SOURCE : CULVERT_PASS_UNSUPPORTED;
	port = port_at(source->target);
	if (!port || port->ifindex != ctx->ingress_ifindex)
		return CULVERT_PASS_MOVED_SOURCE;
	came_by(visit, source->target);
	destination = fdb_lookup(config.segment, frame);
	if (!destination)
		return CULVERT_PASS_UNKNOWN_DEST;
	visit->bytes = frame_bytes(ctx, &in, 0);
	if (destination->kind == CULVERT_FDB_REMOTE)
		return encapsulate(ctx, &in, visit, destination->target, source);
	if (destination->kind != CULVERT_FDB_LOCAL)
		return CULVERT_PASS_UNSUPPORTED;
	if (destination->target == source->target)
		return CULVERT_PASS_SAME_PORT;
	verdict = check_port(ctx, destination->target, visit->bytes - ETH_BYTES, visit->bytes);
	if (verdict)
		return verdict;
	if (refresh_due(source))
		return CULVERT_PASS_REFRESH;
	if (bpf_redirect_map(&devices, destination->target, 0) != XDP_REDIRECT)
		return CULVERT_PASS_UNKNOWN_PORT;
	return CULVERT_FORWARDED_LOCAL;
}

static __always_inline __u32 from_wire(struct xdp_md *ctx, struct visit *visit)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct culvert_fdb_entry *source, *destination;
	struct culvert_segment *segment;
	struct culvert_vni_key vni = {};
	struct culvert_tunnel *tunnel;
	struct inner in = {};
	__u32 verdict, remote, inner_bytes;
	__u8 tos;

	verdict = check_outer(ctx, frame, end);
	if (verdict)
		return verdict;
	if (frame + OUTER_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	visit->bytes = ETH_BYTES + bpf_ntohs(AT16(frame, OUTER_IP + IP4_LENGTH));
	tos = AT8(frame, OUTER_IP + IP4_TOS);
	remote = AT32(frame, OUTER_IP + IP4_SOURCE);
	vni.vni_be = AT32(frame, OUTER_VXLAN + 4);
	if (AT32(frame, OUTER_VXLAN) != VXLAN_FLAGS || vni.vni_be & bpf_htonl(0xff))
		return CULVERT_PASS_VXLAN_FLAGS;
	vni.local = AT32(frame, OUTER_IP + IP4_DESTINATION);
	vni.udp_port = config.udp_port;
	segment = bpf_map_lookup_elem(&vnis, &vni);
	if (!segment)
		return CULVERT_PASS_UNKNOWN_VNI;
	if (segment->flags & CULVERT_SEGMENT_STRICT) {
		struct culvert_vtep_key vtep = { segment->segment, remote };

		if (!bpf_map_lookup_elem(&vteps, &vtep))
			return CULVERT_DROP_NOT_A_VTEP;
	}
	verdict = parse_inner(&in, frame + OUTER_BYTES, end);
	if (verdict)
		return verdict;
	if (AT16(frame, OUTER_UDP + UDP_CHECK) && !has_own_checksum(&in))
		return CULVERT_PASS_CHECKSUM;
	if (tos & ECN_MASK) {
		verdict = check_ecn(tos, &in);
		if (verdict)
			return verdict;
	}
	source = fdb_lookup(segment->segment, in.frame + 6);
	if (!source)
		return CULVERT_PASS_UNKNOWN_SOURCE;
	if (source->kind != CULVERT_FDB_REMOTE)
		return source->kind == CULVERT_FDB_LOCAL ? CULVERT_PASS_MOVED_SOURCE : CULVERT_PASS_UNSUPPORTED;
	tunnel = tunnel_at(source->target);
	if (!tunnel || tunnel->remote != remote || tunnel->vni_be != vni.vni_be)
		return CULVERT_PASS_MOVED_SOURCE;
	destination = fdb_lookup(segment->segment, in.frame);
	if (!destination)
		return CULVERT_PASS_UNKNOWN_DEST;
	if (destination->kind != CULVERT_FDB_LOCAL)
		return destination->kind == CULVERT_FDB_REMOTE ? CULVERT_PASS_SAME_PORT : CULVERT_PASS_UNSUPPORTED;
	inner_bytes = visit->bytes - OUTER_BYTES;
	verdict = check_port(ctx, destination->target, inner_bytes - ETH_BYTES, visit->bytes);
	if (verdict)
		return verdict;
	if (refresh_due(source))
		return CULVERT_PASS_REFRESH;
	if (bpf_redirect_map(&devices, destination->target, 0) != XDP_REDIRECT)
		return CULVERT_PASS_UNKNOWN_PORT;
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
