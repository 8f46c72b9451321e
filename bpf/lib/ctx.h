/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The packet as a family of programs sees it: a raw frame (XDP) or an skb (tc). A
 * program that is of tc defines CULVERT_SKB before it includes anything.
 */
#ifndef CULVERT_CTX_H
#define CULVERT_CTX_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifdef CULVERT_SKB
#include <linux/pkt_cls.h>

typedef struct __sk_buff packet_t;

#define ACTION_FORWARDED TC_ACT_REDIRECT
/* To whatever comes next: other programs, filters, the stack. */
#define ACTION_PASSED TC_ACT_UNSPEC
#define ACTION_DROPPED TC_ACT_SHOT

static __always_inline __u32 packet_bytes(packet_t *ctx)
{
	return ctx->len;
}

static __always_inline __u32 arrival_ifindex(packet_t *ctx)
{
	return ctx->ifindex;
}
#else
typedef struct xdp_md packet_t;

#define ACTION_FORWARDED XDP_REDIRECT
#define ACTION_PASSED XDP_PASS
#define ACTION_DROPPED XDP_DROP

static __always_inline __u32 packet_bytes(packet_t *ctx)
{
	return bpf_xdp_get_buff_len(ctx);
}

static __always_inline __u32 arrival_ifindex(packet_t *ctx)
{
	return ctx->ingress_ifindex;
}
#endif

#endif
