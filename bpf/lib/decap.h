/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The outer headers of a received frame: what vxlan_rcv() and the layers below it check. */
#ifndef CULVERT_DECAP_H
#define CULVERT_DECAP_H

#include "lib/csum.h"
#include "lib/fdb.h"
#include "lib/flow_cache.h"

/* Whether VXLAN is heard at a UDP port. */
static __always_inline int is_vxlan_port(__be16 port)
{
	__u32 number = bpf_ntohs(port), word = number / 64;
	__u64 *bits = bpf_map_lookup_elem(&vxlan_ports, &word);

	return bits && *bits >> number % 64 & 1;
}

#ifdef CULVERT_UNDERLAY_IP6
#include "lib/decap6.h"
#else
#include "lib/decap4.h"
#endif

/* RFC 6040 section 4.2, INET_ECN_decapsulate(): the outer mark goes inwards. Returns the inner
 * field as it must become, or -1 where it stays. An outer mark on what is Not-ECT inside was
 * passed before. */
static __always_inline int merged_tos(__u8 inner, __u8 outer)
{
	__u8 mark = outer & ECN_MASK, ecn = inner & ECN_MASK;

	if (!mark || (mark == ECN_CE ? ecn == ECN_CE : mark != ECN_ECT_1 || ecn != ECN_ECT_0))
		return -1;
	return (inner & ~ECN_MASK) | mark;
}

#endif
