// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier `xdp` cut into rungs, for BPF_PROG_TEST_RUN: each program does what the one
 * before it does and one step more, and leaves the frame as it was, so that it can
 * run again over the same one. Nothing is redirected: that takes live frames.
 */
#include "abi/bench.h"
#include "lib/xdp_send.h"

/* How many remote addresses, of which each run takes another; 0: the frame's own, always. */
volatile __u32 spread SEC(".data.spread");
static __u32 turn;

/* A step that leaves no line of the table in reach of the next. */
static __always_inline __u32 next_remote(void)
{
	turn += 0x9e3779b1u;
	return ((__u64)turn * spread) >> 32;
}

static __always_inline void write_remote(void *mac, __u32 number)
{
	AT32(mac, 2) = bpf_htonl(number);
}

static __always_inline void choose_remote(void *mac)
{
	if (spread)
		write_remote(mac, next_remote());
}

/* The sender, and the VTEP that it is behind. */
static __always_inline void choose_sender(void *frame)
{
	__u32 number, before, after;

	if (!spread)
		return;
	number = next_remote();
	write_remote(frame + OUTER_BYTES + ETH_ALEN, number);
	before = AT32(frame, OUTER_IP + IP4_SOURCE);
	after = bpf_htonl(CULVERT_COST_VTEP + number % CULVERT_COST_VTEPS);
	AT32(frame, OUTER_IP + IP4_SOURCE) = after;
	/* RFC 1624, equation 3 */
	AT16(frame, OUTER_IP + IP4_CHECK) =
		~fold((__u64)(__u16)~AT16(frame, OUTER_IP + IP4_CHECK) + (__u32)~before + after);
}

static __always_inline int has_headers(void *frame, void *end)
{
	return frame + OUTER_BYTES + ETH_BYTES <= end;
}

SEC("xdp.frags") int cost_empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/* What the other rungs of a spread table are compared with: to the wire, and from it. */
SEC("xdp.frags") int cost_choose(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (has_headers(frame, end))
		choose_remote(frame);
	return XDP_PASS;
}

SEC("xdp.frags") int cost_sender(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (has_headers(frame, end))
		choose_sender(frame);
	return XDP_PASS;
}

/* There and back: half of it is what encapsulating pays. */
SEC("xdp.frags") int cost_move(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, -OUTER_BYTES) || bpf_xdp_adjust_head(ctx, OUTER_BYTES))
		return XDP_ABORTED;
	return XDP_PASS;
}

SEC("xdp.frags") int cost_parse(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct inner in = {};

	if (has_headers(frame, end))
		choose_remote(frame);
	return parse_inner(&in, frame, end) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp.frags") int cost_table(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct packet_context packet = {};
	struct decision decision = {};
	struct inner in = {};

	if (has_headers(frame, end))
		choose_remote(frame);
	if (parse_inner(&in, frame, end) || decide_from_port(ctx, &decision, &packet, frame))
		return XDP_ABORTED;
	refresh_or_cache(&decision);
	return XDP_PASS;
}

/* All of the port's program but the last: encapsulated, counted, and taken back. */
SEC("xdp.frags") int cost_port(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct packet_context packet = {};
	__u32 verdict;

	if (has_headers(frame, end))
		choose_remote(frame);
	verdict = from_container(ctx, &packet);
	account(ctx, &packet, verdict);
	if (verdict == CULVERT_FORWARDED_ENCAP && bpf_xdp_adjust_head(ctx, OUTER_BYTES))
		return XDP_ABORTED;
	return XDP_PASS;
}

SEC("xdp.frags") int cost_outer(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct inner in = {};

	if (check_outer(ctx, frame, end) || frame + OUTER_BYTES + ETH_BYTES > end)
		return XDP_ABORTED;
	return parse_inner(&in, frame + OUTER_BYTES, end) ? XDP_ABORTED : XDP_PASS;
}

/* All of the uplink's program; the outer headers are still in front of the frame when it comes back. */
SEC("xdp.frags") int cost_uplink(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct packet_context packet = {};
	__u32 verdict;

	if (has_headers(frame, end))
		choose_sender(frame);
	set_ingress_port(&packet, config.uplink);
	verdict = from_wire(ctx, &packet);
	account(ctx, &packet, verdict);
	if (verdict == CULVERT_FORWARDED_DECAP && bpf_xdp_adjust_head(ctx, -OUTER_BYTES))
		return XDP_ABORTED;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
