/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Over IPv4: iptunnel_xmit(). Part of encap.h. */
#ifndef CULVERT_ENCAP4_H
#define CULVERT_ENCAP4_H

/* The outer headers' words that differ from packet to packet, as they lie on the wire. */
struct outer {
	__u32 ip0; /* version, TOS, length */
	__u32 ip1; /* identification, fragment */
	__u32 ip2; /* TTL, protocol, checksum */
	__u32 udp0; /* ports */
	__u32 udp1; /* length, checksum */
};

static __always_inline __u16 outer_fragment(const struct inner *in, __u32 flags)
{
	if (flags & CULVERT_TUNNEL_DF_SET)
		return bpf_htons(IP4_DF);
	if (!(flags & CULVERT_TUNNEL_DF_INHERIT))
		return 0;
	/* IPv6 never fragments on the way: VXLAN_DF_INHERIT sets DF. */
	return in->is_ip4 ? in->fragment & bpf_htons(IP4_DF) : bpf_htons(IP4_DF);
}

/* Computes everything and changes nothing. Returns 0, or CULVERT_PASS_CHECKSUM. */
static __always_inline __u32 prepare_outer(packet_t *ctx, struct outer *out, const struct inner *in,
					   const tunnel_t *tunnel, __u32 bytes, struct flow flow,
					   const int full_checksum)
{
	__u32 flags = tunnel->flags;
	__u8 ttl = flags & CULVERT_TUNNEL_TTL_INHERIT && in->ttl ? in->ttl : tunnel->ttl;
	__u16 udp_bytes = bpf_htons(bytes + OUTER_BYTES - OUTER_UDP);
	__u64 addresses = (__u64)tunnel->local + tunnel->remote;
	__u16 check = 0;
	long inner_sum;

	out->ip0 = word_of(bpf_htons(0x4500 | outer_tos(in, tunnel)), bpf_htons(bytes + OUTER_BYTES - OUTER_IP));
	out->ip1 = word_of(bpf_htons(next_id(flow.hash, flow.segments)), outer_fragment(in, flags));
	out->ip2 = word_of(bpf_htons(ttl << 8 | IPPROTO_UDP), 0);
	out->ip2 |= word_of(0, ~fold(out->ip0 + (__u64)out->ip1 + out->ip2 + addresses));
	out->udp0 = word_of(bpf_htons(flow.port), tunnel->udp_port);

	if (full_checksum && flags & CULVERT_TUNNEL_UDP_CSUM) {
		inner_sum = sum_inner(ctx, in, bytes);
		if (inner_sum < 0)
			return CULVERT_PASS_CHECKSUM;
		/* The length counts twice: in the pseudo-header and in the header. */
		check = ~fold((__u64)inner_sum + flow.delta + addresses + bpf_htons(IPPROTO_UDP) + udp_bytes + udp_bytes +
			      out->udp0 + VXLAN_FLAGS + tunnel->vni_be);
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

	_Static_assert(__builtin_offsetof(tunnel_t, local) == 12, "local and remote follow the addresses");
	AT64(frame, 0) = AT64(t, 0);
	AT32(frame, 8) = AT32(t, 8);
	AT16(frame, ETH_TYPE) = bpf_htons(ETH_P_IP);
	AT32(frame, OUTER_IP) = out->ip0;
	AT32(frame, OUTER_IP + 4) = out->ip1;
	AT32(frame, OUTER_IP + 8) = out->ip2;
	AT64(frame, OUTER_IP + IP4_SOURCE) = AT64(t, 12);
	AT32(frame, OUTER_UDP) = out->udp0;
	AT32(frame, OUTER_UDP + 4) = out->udp1;
	AT32(frame, OUTER_VXLAN) = VXLAN_FLAGS;
	AT32(frame, OUTER_VXLAN + 4) = tunnel->vni_be;
}

#endif
