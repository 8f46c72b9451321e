/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Tier `afxdp`: the workers in user space, their sockets, and whether one is to be given a packet. */
#ifndef CULVERT_WORKER_H
#define CULVERT_WORKER_H

#include <linux/futex.h>
#include "abi/afxdp.h"
#include "lib/maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, CULVERT_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

/* A device's queues are dealt out among so many workers. */
const volatile __u32 workers = 1;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct culvert_pulse);
} pulses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct culvert_watch);
} watches SEC(".maps");

/* Whether the queue's worker has not looked since it was given something, for long enough. Asked right before it is
 * given more; a CPU looks once a jiffy. */
static __always_inline int is_stalled(__u32 queue)
{
	__u32 worker = queue % workers;
	struct culvert_watch *watch = bpf_map_lookup_elem(&watches, &worker);
	struct culvert_pulse *pulse;
	__u64 jiffy = bpf_jiffies64(), turns, now;

	if (!watch)
		return 0;
	if (watch->jiffy == jiffy)
		return watch->stalled;
	pulse = bpf_map_lookup_elem(&pulses, &worker);
	if (!pulse)
		return 0;
	turns = *(volatile __u64 *)&pulse->turns;
	now = bpf_ktime_get_coarse_ns();
	watch->jiffy = jiffy;
	if (*(volatile __u32 *)pulse->life & FUTEX_OWNER_DIED) {
		watch->stalled = 1;
	} else if (!turns || turns != watch->turns) {
		watch->turns = turns;
		watch->since = now;
		watch->stalled = 0;
	} else {
		watch->stalled = now - watch->since > CULVERT_STALL_NS;
	}
	return watch->stalled;
}

/* So many packets in a jiffy are few: the program forwards them by itself. 0: none are. */
const volatile __u32 few = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CULVERT_QUEUES);
	__type(key, __u32);
	__type(value, struct culvert_rx_queue);
} rx_queues SEC(".maps");

/* 0: of no socket, or none of it are forwarded by the program. Only it writes there, but for `done`: a queue is
 * processed by one CPU at a time. */
static __always_inline struct culvert_rx_queue *rx_queue(__u32 slot, __u32 queue)
{
	__u32 place = slot * CULVERT_QUEUES + queue;
	struct culvert_rx_queue *found;

	if (!few || queue >= CULVERT_QUEUES)
		return 0;
	found = bpf_map_lookup_elem(&rx_queues, &place);
	return found && found->is_open ? found : 0;
}

/* Few packets come by the queue, and its worker has none of them any more. Asked once for each. */
static __always_inline int is_quiet(struct culvert_rx_queue *queue)
{
	__u64 jiffy = bpf_jiffies64();

	if (queue->jiffy != jiffy) {
		queue->jiffy = jiffy;
		queue->frames = 0;
	}
	if (++queue->frames > few)
		queue->busy = jiffy + CULVERT_BUSY_JIFFIES;
	return jiffy >= queue->busy && queue->handed == *(volatile __u64 *)&queue->done;
}

#endif
