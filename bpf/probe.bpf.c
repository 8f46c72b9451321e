// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Asks the kernel what it can do, where only trying tells. Run by BPF_PROG_TEST_RUN, attached nowhere. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi/culvert.h"

/* Whether bpf_skb_adjust_room() takes the flags in skb->mark when it removes outer headers. */
SEC("tc") int culvert_probe_decap(struct __sk_buff *skb)
{
	return bpf_skb_adjust_room(skb, -CULVERT_OUTER_BYTES, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | skb->mark) == 0;
}

/* Whether bpf_l4_csum_replace() takes the flags in skb->mark; of a sum in any place. */
SEC("tc") int culvert_probe_checksum(struct __sk_buff *skb)
{
	return bpf_l4_csum_replace(skb, 64, 0, 1, BPF_F_PSEUDO_HDR | skb->mark) == 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
