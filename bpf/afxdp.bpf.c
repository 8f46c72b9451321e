// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier `afxdp`: decides as tier `xdp` does, and hands what may be forwarded to
 * the forwarder in user space, which encapsulates and sends. What it could not
 * serve never gets there: from user space nothing can be given back. Few packets
 * are not worth waking it: those are forwarded here where that can be.
 */
#include "lib/worker.h"
#include "lib/xdp_rewrite.h"

/* Frames longer than this do not fit into the forwarder's memory. */
const volatile __u32 frame_limit = 1792;

static __always_inline __u32 check_shape(struct xdp_md *ctx, const struct culvert_port *port, __u32 bytes)
{
	return has_one_buffer(ctx, bytes) && bytes <= frame_limit ? 0 : CULVERT_PASS_MULTI_BUFFER;
}

/*
 * Whether the forwarder can tell what a container with its offloads on has left to its device, and complete
 * it. A UDP datagram whose checksum is complete may be another tunnel, with an unfinished one inside that
 * nothing in a raw frame shows; so may everything that is no TCP, UDP or ICMP.
 */
static __always_inline int is_completable(const struct inner *in)
{
	if (in->fragment & bpf_htons(IP4_MORE_OR_OFFSET))
		return 1;
	switch (in->protocol) {
	case IPPROTO_TCP:
		return 1;
	case IPPROTO_UDP:
		return in->l4 + UDP_BYTES <= in->end && AT16(in->l4, UDP_CHECK) == pseudo_header(in);
	case IPPROTO_ICMP:
		return in->is_ip4;
	case IPPROTO_ICMPV6:
		return !in->is_ip4;
	}
	return 0;
}

/* CULVERT_METADATA_PARTIAL where what comes in by the port may have an unfinished checksum. */
static __always_inline __u32 partial(const struct decision *decision)
{
	struct culvert_port *from = port_at(decision->slot);

	return from && from->flags & CULVERT_PORT_PARTIAL ? CULVERT_METADATA_PARTIAL : 0;
}

struct tx {
	struct culvert_rx_queue *queue; /* 0: nothing is forwarded here */
	int is_direct;
	struct outer out;
	struct culvert_metadata metadata;
};

/* Whether it need not be handed over: where the egress device takes redirected frames (map `devices`), it is not. */
static __always_inline int may_be_direct(struct xdp_md *ctx, const struct decision *decision, struct tx *tx)
{
	tx->out = (struct outer){}; /* or the compiler spills what it finds in a register */
	tx->queue = rx_queue(decision->slot, ctx->rx_queue_index);
	return tx->queue && is_quiet(tx->queue) && !partial(decision);
}

static __always_inline __u32 commit_direct(const struct tx *tx, __u32 verdict)
{
	if (tx->queue && verdict != CULVERT_PASS_HEADROOM)
		tx->queue->direct++;
	return verdict;
}

/* To the socket of the queue that the frame came by, with what to do. */
static __always_inline __u32 prepare(struct xdp_md *ctx, const struct inner *in, const struct decision *decision,
				     __u32 verdict, const int is_sent_here, struct tx *tx)
{
	__u32 queue = ctx->rx_queue_index, flags = partial(decision);

	if (is_sent_here && flags && !is_completable(in))
		return CULVERT_PASS_CHECKSUM;
	if (queue >= CULVERT_QUEUES ||
	    bpf_redirect_map(&sockets, decision->slot * CULVERT_QUEUES + queue, 0) != XDP_REDIRECT)
		return CULVERT_PASS_UNKNOWN_PORT;
	tx->metadata.target = decision->target;
	tx->metadata.verdict = verdict | flags;
	return 0;
}

static __always_inline __u32 commit(struct xdp_md *ctx, const struct tx *tx)
{
	struct culvert_metadata *metadata;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*metadata)))
		return CULVERT_PASS_HEADROOM;
	/* Last of all: what is asked here counts as given to the worker. */
	if (is_stalled(ctx->rx_queue_index)) {
		bpf_xdp_adjust_meta(ctx, sizeof(*metadata));
		return CULVERT_PASS_WORKER;
	}
	metadata = (void *)(long)ctx->data_meta;
	if ((void *)(metadata + 1) > (void *)(long)ctx->data) /* the verifier's case, never so */
		return CULVERT_PASS_HEADROOM;
	*metadata = tx->metadata;
	if (tx->queue)
		tx->queue->handed++;
	return tx->metadata.verdict & ~CULVERT_METADATA_PARTIAL;
}

static __always_inline __u32 prepare_encap(struct xdp_md *ctx, const struct inner *in, struct decision *decision,
					   struct packet_context *packet, struct culvert_tunnel *tunnel, struct tx *tx)
{
	tx->is_direct = may_be_direct(ctx, decision, tx) && !prepare_rewrite(ctx, &tx->out, in, packet, tunnel);
	return tx->is_direct ? 0 : prepare(ctx, in, decision, CULVERT_FORWARDED_ENCAP, 1, tx);
}

static __always_inline __u32 commit_encap(struct xdp_md *ctx, const struct inner *in, struct culvert_tunnel *tunnel,
					  struct tx *tx)
{
	return tx->is_direct ? commit_direct(tx, push_outer(ctx, &tx->out, tunnel)) : commit(ctx, tx);
}

static __always_inline __u32 prepare_decap(struct xdp_md *ctx, const struct inner *in, struct decision *decision,
					   __u8 outer_tos, struct tx *tx)
{
	tx->is_direct = may_be_direct(ctx, decision, tx) && !redirect(decision->target);
	return tx->is_direct ? 0 : prepare(ctx, in, decision, CULVERT_FORWARDED_DECAP, 0, tx);
}

static __always_inline __u32 commit_decap(struct xdp_md *ctx, const struct inner *in, __u8 outer_tos, struct tx *tx)
{
	return tx->is_direct ? commit_direct(tx, pull_outer(ctx, outer_tos)) : commit(ctx, tx);
}

static __always_inline __u32 prepare_local(struct xdp_md *ctx, const struct inner *in, struct decision *decision,
					   struct tx *tx)
{
	tx->is_direct = may_be_direct(ctx, decision, tx) && !redirect(decision->target);
	return tx->is_direct ? 0 : prepare(ctx, in, decision, CULVERT_FORWARDED_LOCAL, 1, tx);
}

static __always_inline __u32 commit_local(struct xdp_md *ctx, struct tx *tx)
{
	return tx->is_direct ? commit_direct(tx, CULVERT_FORWARDED_LOCAL) : commit(ctx, tx);
}

#include "lib/datapath.h"

/* On the host's end of each container's veth. */
SEC("xdp.frags") int culvert_port(struct xdp_md *ctx)
{
	struct packet_context packet = {};

	return account(ctx, &packet, from_container(ctx, &packet));
}

/* On the underlay's interface. */
SEC("xdp.frags") int culvert_uplink(struct xdp_md *ctx)
{
	struct packet_context packet = {};

	set_ingress_port(&packet, config.uplink);
	return account(ctx, &packet, from_wire(ctx, &packet));
}

char _license[] SEC("license") = "Dual BSD/GPL";
