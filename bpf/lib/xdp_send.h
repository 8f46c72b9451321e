/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How packets leave in tier `xdp`: the outer headers are written or taken off in place, then a redirect. */
#ifndef CULVERT_XDP_SEND_H
#define CULVERT_XDP_SEND_H

#include "lib/xdp_egress.h"

struct tx {
	struct outer out;
};

static __always_inline __u32 prepare_encap(struct xdp_md *ctx, const struct inner *in, struct decision *decision,
					   struct packet_context *packet, tunnel_t *tunnel, struct tx *tx)
{
	return prepare_rewrite(ctx, &tx->out, in, packet, tunnel);
}

static __always_inline __u32 commit_encap(struct xdp_md *ctx, const struct inner *in, tunnel_t *tunnel,
					  struct tx *tx)
{
	return push_outer(ctx, &tx->out, tunnel);
}

static __always_inline __u32 prepare_decap(struct xdp_md *ctx, const struct inner *in, struct decision *decision,
					   __u8 outer_tos, struct tx *tx)
{
	return redirect(decision->target);
}

static __always_inline __u32 commit_decap(struct xdp_md *ctx, const struct inner *in, __u8 outer_tos, struct tx *tx)
{
	return pull_outer(ctx, outer_tos);
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
