/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A raw frame's outer headers are written or taken off in place, and the frame is redirected to a device. */
#ifndef CULVERT_XDP_REWRITE_H
#define CULVERT_XDP_REWRITE_H

#include "lib/xdp_frame.h"

/* Notes where to; the frame is still as it came when there is no such device, and where it is not redirected after all. */
static __always_inline __u32 redirect(__u32 slot)
{
	return bpf_redirect_map(&devices, slot, 0) == XDP_REDIRECT ? 0 : CULVERT_PASS_UNKNOWN_PORT;
}

static __always_inline __u32 prepare_rewrite(struct xdp_md *ctx, struct outer *out, const struct inner *in,
					     const struct packet_context *packet, tunnel_t *tunnel)
{
	struct flow flow = { .segments = 1 };
	__u32 verdict = redirect(tunnel->uplink);

	if (verdict)
		return verdict;
	flow.hash = flow_hash(in);
	flow.port = source_port(flow.hash, tunnel);
	return prepare_outer(ctx, out, in, tunnel, packet->bytes, flow, 1);
}

static __always_inline __u32 push_outer(struct xdp_md *ctx, const struct outer *out, tunnel_t *tunnel)
{
	void *frame;

	if (bpf_xdp_adjust_head(ctx, -OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	frame = (void *)(long)ctx->data;
	if (frame + OUTER_BYTES <= (void *)(long)ctx->data_end) /* the verifier's case, always so */
		write_outer(frame, out, tunnel);
	return CULVERT_FORWARDED_ENCAP;
}

/* The frame is the inner one by now. */
static __always_inline void write_ecn(struct xdp_md *ctx, __u8 outer)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *ip = frame + ETH_BYTES;
	int tos;

	if (ip + IP4_BYTES > end)
		return;
	if (AT16(frame, ETH_TYPE) == bpf_htons(ETH_P_IP)) {
		__u16 before = AT16(ip, 0);

		tos = merged_tos(AT8(ip, IP4_TOS), outer);
		if (tos < 0)
			return;
		AT8(ip, IP4_TOS) = tos;
		/* RFC 1624, equation 3 */
		AT16(ip, IP4_CHECK) = ~fold((__u64)(__u16)~AT16(ip, IP4_CHECK) + (__u16)~before + AT16(ip, 0));
		return;
	}
	tos = merged_tos(AT8(ip, 1) >> 4, outer);
	if (tos >= 0)
		AT8(ip, 1) = (AT8(ip, 1) & 0xf) | tos << 4;
}

static __always_inline __u32 pull_outer(struct xdp_md *ctx, __u8 outer_tos)
{
	if (bpf_xdp_adjust_head(ctx, OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	if (outer_tos & ECN_MASK)
		write_ecn(ctx, outer_tos);
	return CULVERT_FORWARDED_DECAP;
}

#endif
