/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* One bump per packet, and the action that goes with its verdict. */
#ifndef CULVERT_COUNT_H
#define CULVERT_COUNT_H

#include "lib/maps.h"
#include "lib/packet.h"

/* What is known of the packet at hand by the time its verdict falls. */
struct visit {
	struct culvert_counters *count; /* of the port it came in by; 0: not found out yet */
	__u32 bytes;                    /* layer 2, as received; set on what is forwarded */
};

static __always_inline void came_by(struct visit *visit, __u32 slot)
{
	visit->count = bpf_map_lookup_elem(&counters, &slot);
}

static __always_inline int finish(packet_t *ctx, struct visit *visit, __u32 verdict)
{
	__u32 place;

	if (verdict >= CULVERT_PASS_TRUNCATED)
		visit->bytes = packet_bytes(ctx);
	if (!visit->count) {
		__u32 ifindex = arrival_ifindex(ctx);
		__u32 *slot = bpf_map_lookup_elem(&port_by_ifindex, &ifindex);

		if (!slot)
			verdict = CULVERT_PASS_UNKNOWN_PORT;
		came_by(visit, slot ? *slot : CULVERT_UPLINK_SLOT);
	}
	/* A verdict may come from a map; a bound that the compiler knows by itself, Linux 6.1's verifier does not see. */
	place = verdict;
	barrier_var(place);
	place &= 31;
	if (visit->count) {
		visit->count->packets[place]++;
		visit->count->bytes[place] += visit->bytes;
	}
	if (verdict < CULVERT_PASS_TRUNCATED)
		return ACTION_FORWARDED;
	return verdict == CULVERT_DROP_NOT_A_VTEP ? ACTION_DROPPED : ACTION_PASSED;
}

#endif
