// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Frames that a program forwarded and the kernel could not send: full rings,
 * devices that are down. XDP tells only its tracepoints. An object of its own,
 * so that a kernel without BTF or tracepoints loses this counter and no more.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "abi/culvert.h"

struct ns_common {
	unsigned int inum;
} __attribute__((preserve_access_index));

struct net {
	struct ns_common ns;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} __attribute__((preserve_access_index)) possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
} __attribute__((preserve_access_index));

/* User space makes the entries: what has none is not ours. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, struct culvert_device_key);
	__type(value, struct culvert_xmit_drops);
} xmit_drops SEC(".maps");

/* Of the device itself, or of another place in its namespace. */
static __always_inline struct culvert_xmit_drops *drops_of(const struct net_device *device, __u32 ifindex)
{
	struct culvert_device_key key = {
		.ifindex = ifindex,
		.netns = device->nd_net.net->ns.inum,
	};

	return bpf_map_lookup_elem(&xmit_drops, &key);
}

/* Once per bulk of up to 16 frames. */
SEC("tp_btf/xdp_devmap_xmit")
int BPF_PROG(culvert_xmit, const struct net_device *from, const struct net_device *to, int sent, int drops, int err)
{
	struct culvert_xmit_drops *count;

	if (drops <= 0)
		return 0;
	count = drops_of(to, to->ifindex);
	if (count) {
		count->not_sent += drops;
		if (err < 0)
			count->not_taken += drops;
	}
	return 0;
}

/* Refused before it was queued. */
SEC("tp_btf/xdp_redirect_err")
int BPF_PROG(culvert_redirect, const struct net_device *from, const void *program, const void *target, int err,
	     int map_type, __u32 map_id, __u32 place)
{
	struct culvert_xmit_drops *count = drops_of(from, from->ifindex);

	/* A socket counts by itself what it did not take. */
	if (count && map_type != BPF_MAP_TYPE_XSKMAP)
		count->not_redirected++;
	count = drops_of(from, place | CULVERT_EGRESS);
	if (count)
		count->not_sent++;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
