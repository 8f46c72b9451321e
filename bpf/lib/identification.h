/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The outer IPv4 identification (abi/culvert.h says how it is dealt out). */
#ifndef CULVERT_IDENTIFICATION_H
#define CULVERT_IDENTIFICATION_H

#include "lib/maps.h"

/* As many consecutive numbers as the packet has segments; the first of them, in host order. */
static __always_inline __u16 next_id(__u32 hash, __u32 segments)
{
	__u32 zero = 0, taken;
	struct culvert_ids *mine = bpf_map_lookup_elem(&ids, &zero);
	__u32 *first = bpf_map_lookup_elem(&ids_taken, &zero);
	__u16 *next, id;

	if (!mine || !first) /* the verifier's case: never so */
		return hash;
	next = &mine->next[hash & (CULVERT_ID_FLOWS - 1)];
	id = *next;
	if (!(id & (CULVERT_ID_BLOCK - 1)) || (id & (CULVERT_ID_BLOCK - 1)) + segments > CULVERT_ID_BLOCK) {
		taken = (segments + CULVERT_ID_BLOCK - 1) & ~(CULVERT_ID_BLOCK - 1u);
		id = __sync_fetch_and_add(first, taken) + ((__u32)config.hash_seed & ~(CULVERT_ID_BLOCK - 1u));
	}
	*next = id + segments;
	return id;
}

#endif
