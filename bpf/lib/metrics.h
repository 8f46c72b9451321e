/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* One bump per packet, and the action that goes with its verdict. */
#ifndef CULVERT_METRICS_H
#define CULVERT_METRICS_H

#include "lib/maps.h"
#include "lib/ports.h"
#include "lib/ctx.h"

/* What is known of the packet at hand by the time its verdict falls. */
struct packet_context {
	struct culvert_counters *count; /* of the port it came in by; 0: not found out yet */
	__u32 bytes;                    /* layer 2, as received; set on what is forwarded */
};

static __always_inline void set_ingress_port(struct packet_context *packet, __u32 slot)
{
	packet->count = bpf_map_lookup_elem(&counters, &slot);
}

static __always_inline int account(packet_t *ctx, struct packet_context *packet, __u32 verdict)
{
	__u32 place;

	if (verdict >= CULVERT_PASS_TRUNCATED)
		packet->bytes = packet_bytes(ctx);
	if (!packet->count) {
		__u32 slot;

		if (!port_of(arrival_ifindex(ctx), &slot)) {
			verdict = CULVERT_PASS_UNKNOWN_PORT;
			slot = CULVERT_NO_PORT;
		}
		set_ingress_port(packet, slot);
	}
	/* A verdict may come from a map; a bound that the compiler knows by itself, Linux 6.1's verifier does not see. */
	place = verdict;
	barrier_var(place);
	if (packet->count && place < CULVERT_COUNTED) {
		packet->count->packets[place]++;
		packet->count->bytes[place] += packet->bytes;
	}
	if (verdict < CULVERT_PASS_TRUNCATED)
		return ACTION_FORWARDED;
	return verdict == CULVERT_DROP_NOT_A_VTEP ? ACTION_DROPPED : ACTION_PASSED;
}

#endif
