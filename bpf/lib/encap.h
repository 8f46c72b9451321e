/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The outer headers as vxlan_xmit_one() and the tunnel's layers below it write them. */
#ifndef CULVERT_ENCAP_H
#define CULVERT_ENCAP_H

#include "lib/csum.h"
#include "lib/hash.h"
#include "lib/identification.h"

/* Words from wire-order halves, whatever the machine's order. */
static __always_inline __u32 word_of(__u16 first, __u16 second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (__u32)second << 16 | first;
#else
	return (__u32)first << 16 | second;
#endif
}

/* RFC 6040 section 4.1, INET_ECN_encapsulate(): a congestion mark stays inside. */
static __always_inline __u8 outer_tos(const struct inner *in, const tunnel_t *tunnel)
{
	__u8 base = tunnel->flags & CULVERT_TUNNEL_TOS_INHERIT ? in->tos : tunnel->tos;
	__u8 ecn = in->tos & ECN_MASK;

	return (base & ~ECN_MASK) | (ecn == ECN_CE ? ECN_ECT_0 : ecn);
}

/* What differs by tier of a packet that is to be encapsulated. */
struct flow {
	__u32 hash;
	__u16 port;     /* outer source port, host order */
	__u16 segments; /* that the packet becomes on the wire */
	__u64 delta;    /* what a router's rewriting adds to the sum over the inner frame */
};

#ifdef CULVERT_UNDERLAY_IP6
#include "lib/encap6.h"
#else
#include "lib/encap4.h"
#endif

#endif
