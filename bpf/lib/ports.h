/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Ports, by slot and by the interface that a packet came in by. */
#ifndef CULVERT_PORTS_H
#define CULVERT_PORTS_H

#include "lib/maps.h"

static __always_inline struct culvert_port *port_at(__u32 slot)
{
	return bpf_map_lookup_elem(&ports, &slot);
}

/* A container's port, and its slot; 0 where none is known. */
static __always_inline struct culvert_port *port_of(__u32 ifindex, __u32 *slot)
{
	__u32 place = culvert_port_place(ifindex);
	__u32 *found = bpf_map_lookup_elem(&port_by_ifindex, &place);
	struct culvert_port *port;

	if (!found)
		return 0;
	*slot = *found;
	port = port_at(*slot);
	return port && port->ifindex == ifindex ? port : 0;
}

#endif
