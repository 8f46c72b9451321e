/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Over IPv6: udp_tunnel6_xmit_skb(). Part of encap.h. */
#ifndef CULVERT_ENCAP6_H
#define CULVERT_ENCAP6_H

/* The outer headers' words that differ from packet to packet, as they lie on the wire. */
struct outer {
	__u32 ip0; /* version, traffic class, flow label */
	__u32 ip1; /* length, next header, hop limit */
	__u32 udp0; /* ports */
	__u32 udp1; /* length, checksum */
};

#ifdef CULVERT_SKB
/*
 * Of segments, which are cut only on the way out: sum over the inner frame of each, and in `bytes` its length; -1 where
 * they do not have that in common. A segment's own checksum is right when it leaves, and so the sum over its layer 4
 * is the complement of its pseudo-header's: no payload is in it. The last one must be as long as the others.
 */
static __always_inline long sum_segment(packet_t *ctx, const struct inner *in, __u32 *bytes)
{
	void *frame = in->frame, *ip = frame + ETH_BYTES;
	__u32 headers, payload, l4_bytes, whole;
	__u16 pseudo;
	__u64 sum;

	if (*bytes != ETH_BYTES + in->l3_bytes || !has_own_checksum(in) || (in->is_ip4 && !in->plain_ip4))
		return -1;
	pseudo = pseudo_header(in);
	if (!is_unfinished(in, pseudo))
		return -1;
	headers = l4_header_bytes(in);
	whole = in->l3_bytes - (in->is_ip4 ? IP4_BYTES : IP6_BYTES);
	payload = whole - headers;
	if (whole < headers || !ctx->gso_size || payload % ctx->gso_size)
		return -1;
	l4_bytes = headers + ctx->gso_size;
	*bytes -= whole - l4_bytes;
	sum = (__u64)AT32(frame, 0) + AT32(frame, 4) + AT32(frame, 8) + AT16(frame, ETH_TYPE);
	/* An IPv4 header with its checksum adds nothing. */
	if (!in->is_ip4) {
		sum += (__u64)AT32(ip, 0) + AT16(ip, IP6_NEXT) + bpf_htons(l4_bytes);
		sum += (__u64)AT32(ip, 8) + AT32(ip, 12) + AT32(ip, 16) + AT32(ip, 20);
		sum += (__u64)AT32(ip, 24) + AT32(ip, 28) + AT32(ip, 32) + AT32(ip, 36);
	}
	/* The pseudo-header's, with a segment's length instead of the whole's. */
	sum += (__u16)~fold((__u64)pseudo + (__u16)~bpf_htons(whole) + bpf_htons(l4_bytes));
	return sum;
}
#else
static __always_inline long sum_segment(packet_t *ctx, const struct inner *in, __u32 *bytes)
{
	return -1;
}
#endif

/*
 * Computes everything and changes nothing. Returns 0, or CULVERT_PASS_CHECKSUM.
 * A checksum that is not `full_checksum` is that of each segment.
 */
static __always_inline __u32 prepare_outer(packet_t *ctx, struct outer *out, const struct inner *in,
					   const tunnel_t *tunnel, __u32 bytes, struct flow flow, const int full_checksum)
{
	__u32 flags = tunnel->flags;
	__u8 ttl = flags & CULVERT_TUNNEL_TTL_INHERIT && in->ttl ? in->ttl : tunnel->ttl;
	__u16 udp_bytes = bpf_htons(bytes + OUTER_BYTES - OUTER_UDP);
	__u16 check = 0;
	long inner_sum;

	out->ip0 = tunnel->label | bpf_htonl((__u32)outer_tos(in, tunnel) << 20);
	out->ip1 = word_of(udp_bytes, bpf_htons(IPPROTO_UDP << 8 | ttl));
	out->udp0 = word_of(bpf_htons(flow.port), tunnel->udp_port);

	if (flags & CULVERT_TUNNEL_UDP_CSUM) {
		const void *t = tunnel;
		__u32 summed = bytes;
		__u64 sum;

		inner_sum = full_checksum ? sum_inner(ctx, in, bytes) : sum_segment(ctx, in, &summed);
		if (inner_sum < 0)
			return CULVERT_PASS_CHECKSUM;
		sum = (__u64)AT32(t, 16) + AT32(t, 20) + AT32(t, 24) + AT32(t, 28);
		sum += (__u64)AT32(t, 32) + AT32(t, 36) + AT32(t, 40) + AT32(t, 44);
		/* The length counts twice: in the pseudo-header and in the header. */
		sum += 2 * (__u64)bpf_htons(summed + OUTER_BYTES - OUTER_UDP);
		check = ~fold((__u64)inner_sum + flow.delta + sum + bpf_htons(IPPROTO_UDP) + out->udp0 + VXLAN_FLAGS +
			      tunnel->vni_be);
		if (!check)
			check = 0xffff;
	}
	out->udp1 = word_of(udp_bytes, check);
	return 0;
}

/* `frame` has OUTER_BYTES to be written. */
static __always_inline void write_outer(void *frame, const struct outer *out, const tunnel_t *tunnel)
{
	const void *t = tunnel;

	_Static_assert(__builtin_offsetof(tunnel_t, local) == 16 && __builtin_offsetof(tunnel_t, remote) == 32,
		       "local and remote are read as words");
	AT64(frame, 0) = AT64(t, 0);
	AT32(frame, 8) = AT32(t, 8);
	AT16(frame, ETH_TYPE) = bpf_htons(ETH_P_IPV6);
	AT32(frame, OUTER_IP) = out->ip0;
	AT32(frame, OUTER_IP + 4) = out->ip1;
	AT64(frame, OUTER_IP + IP6_SOURCE) = AT64(t, 16);
	AT64(frame, OUTER_IP + IP6_SOURCE + 8) = AT64(t, 24);
	AT64(frame, OUTER_IP + IP6_DESTINATION) = AT64(t, 32);
	AT64(frame, OUTER_IP + IP6_DESTINATION + 8) = AT64(t, 40);
	AT32(frame, OUTER_UDP) = out->udp0;
	AT32(frame, OUTER_UDP + 4) = out->udp1;
	AT32(frame, OUTER_VXLAN) = VXLAN_FLAGS;
	AT32(frame, OUTER_VXLAN + 4) = tunnel->vni_be;
}

#endif
