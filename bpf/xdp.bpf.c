// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi/culvert.h"
SEC("xdp.frags") int culvert_port(struct xdp_md *ctx) { return XDP_PASS; }
char _license[] SEC("license") = "Dual BSD/GPL";
