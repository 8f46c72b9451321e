/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef CULVERT_TC_STUB_H
#define CULVERT_TC_STUB_H

#include "lib/headers.h"

/*
 * For kernels without tcx (before 6.6): all that a filter of tc holds. What it calls is held by the
 * process; when that is gone, so is the call, and packets go on as if there were no filter.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} attached SEC(".maps");

SEC("tc") int culvert_stub_port(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &attached, 0);
	return TC_ACT_UNSPEC;
}

SEC("tc") int culvert_stub_uplink(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &attached, 0);
	return TC_ACT_UNSPEC;
}

#endif
