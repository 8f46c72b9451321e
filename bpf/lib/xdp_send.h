/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How packets leave in tier `xdp`: the outer headers are written or taken off in place, then a redirect. */
#ifndef CULVERT_XDP_SEND_H
#define CULVERT_XDP_SEND_H

#include "lib/xdp_frame.h"

static __always_inline __u32 check_shape(struct xdp_md *ctx, const struct culvert_port *port, __u32 bytes)
{
	if (has_one_buffer(ctx, bytes) || port->flags & CULVERT_PORT_MULTI_BUFFER)
		return 0;
	return CULVERT_PASS_MULTI_BUFFER;
}

struct tx {
	struct outer out;
};

/* Notes where to; the frame is still as it came when there is no such device, and where it is not redirected after all. */
static __always_inline __u32 redirect(__u32 slot)
{
	return bpf_redirect_map(&devices, slot, 0) == XDP_REDIRECT ? 0 : CULVERT_PASS_UNKNOWN_PORT;
}

static __always_inline __u32 prepare_encap(struct xdp_md *ctx, const struct inner *in, struct decision *decision,
					   struct packet_context *packet, tunnel_t *tunnel, struct tx *tx)
{
	struct flow flow = { .hash = flow_hash(in), .segments = 1 };
	__u32 verdict;

	flow.port = source_port(flow.hash, tunnel);
	verdict = prepare_outer(ctx, &tx->out, in, tunnel, packet->bytes, flow, 1);
	return verdict ? verdict : redirect(tunnel->uplink);
}

static __always_inline __u32 commit_encap(struct xdp_md *ctx, const struct inner *in, tunnel_t *tunnel,
					  struct tx *tx)
{
	void *frame;

	if (bpf_xdp_adjust_head(ctx, -OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	frame = (void *)(long)ctx->data;
	if (frame + OUTER_BYTES <= (void *)(long)ctx->data_end) /* the verifier's case, always so */
		write_outer(frame, &tx->out, tunnel);
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

static __always_inline __u32 prepare_decap(struct xdp_md *ctx, const struct inner *in, struct decision *decision,
					   __u8 outer_tos, struct tx *tx)
{
	return redirect(decision->target);
}

static __always_inline __u32 commit_decap(struct xdp_md *ctx, const struct inner *in, __u8 outer_tos, struct tx *tx)
{
	if (bpf_xdp_adjust_head(ctx, OUTER_BYTES))
		return CULVERT_PASS_HEADROOM;
	if (outer_tos & ECN_MASK)
		write_ecn(ctx, outer_tos);
	return CULVERT_FORWARDED_DECAP;
}

static __always_inline __u32 prepare_local(struct xdp_md *ctx, const struct inner *in, struct decision *decision,
					   struct tx *tx)
{
	return redirect(decision->target);
}

static __always_inline __u32 commit_local(struct xdp_md *ctx, struct tx *tx)
{
	return CULVERT_FORWARDED_LOCAL;
}

#include "lib/datapath.h"

#endif
