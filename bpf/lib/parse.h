/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The container's frame: where its headers are and what the tunnel needs to know of them. */
#ifndef CULVERT_PARSE_H
#define CULVERT_PARSE_H

#include "abi/culvert.h"
#include "lib/headers.h"
#include "lib/ctx.h"

struct inner {
	void *frame;     /* its Ethernet header */
	void *end;       /* of the linear part */
	void *l4;        /* after the IP header(s) */
	__u32 l3_bytes;  /* as the IP header says */
	__u16 fragment;  /* IPv4's, network order */
	__u8 is_ip4;
	__u8 plain_ip4;  /* IPv4 without options */
	__u8 protocol;
	__u8 tos;        /* or traffic class */
	__u8 ttl;        /* or hop limit */
};

/* Returns a verdict ≥ CULVERT_PASS_TRUNCATED when the frame is not for the fast path, else 0. */
static __always_inline __u32 parse_inner(struct inner *in, void *frame, void *end)
{
	void *ip = frame + ETH_BYTES;
	__u16 type;

	in->frame = frame;
	in->end = end;
	if (frame + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	if (AT8(frame, 0) & 1)
		return CULVERT_PASS_MULTICAST;
	type = AT16(frame, ETH_TYPE);
	if (type == bpf_htons(ETH_P_IP)) {
		__u32 header;

		if (ip + IP4_BYTES > end)
			return CULVERT_PASS_TRUNCATED;
		header = (AT8(ip, 0) & 0xf) * 4;
		in->is_ip4 = 1;
		in->plain_ip4 = AT8(ip, 0) == 0x45;
		in->tos = AT8(ip, IP4_TOS);
		in->l3_bytes = bpf_ntohs(AT16(ip, IP4_LENGTH));
		in->fragment = AT16(ip, IP4_FRAGMENT);
		in->ttl = AT8(ip, IP4_TTL);
		in->protocol = AT8(ip, IP4_PROTOCOL);
		in->l4 = ip + header;
		return 0;
	}
	if (type == bpf_htons(ETH_P_IPV6)) {
		if (ip + IP6_BYTES > end)
			return CULVERT_PASS_TRUNCATED;
		in->is_ip4 = 0;
		in->plain_ip4 = 0;
		in->tos = bpf_ntohs(AT16(ip, 0)) >> 4;
		in->l3_bytes = IP6_BYTES + bpf_ntohs(AT16(ip, IP6_LENGTH));
		in->fragment = 0;
		in->ttl = AT8(ip, IP6_HOP_LIMIT);
		in->protocol = AT8(ip, IP6_NEXT);
		in->l4 = ip + IP6_BYTES;
		/* Unicast solicitations too may be answered on the way (`proxy`, neigh_suppress). */
		if (in->protocol == IPPROTO_ICMPV6 && ip + IP6_BYTES + 1 <= end && AT8(ip, IP6_BYTES) >= ND_FIRST &&
		    AT8(ip, IP6_BYTES) <= ND_LAST)
			return CULVERT_PASS_ND;
		return 0;
	}
	return CULVERT_PASS_NOT_IP;
}

/* The frame's layer 2 bytes. Asked for only where the IP header does not already
 * account for all that is in the linear part. */
static __always_inline __u32 frame_bytes(packet_t *ctx, const struct inner *in)
{
	__u32 linear = ctx->data_end - ctx->data;

	if (ETH_BYTES + in->l3_bytes == linear)
		return linear;
	return packet_bytes(ctx);
}

static __always_inline __u32 l4_header_bytes(const struct inner *in)
{
	if (in->protocol == IPPROTO_TCP && in->l4 + TCP_BYTES <= in->end)
		return (AT8(in->l4, TCP_OFFSET) >> 4) * 4;
	return UDP_BYTES;
}

#endif
