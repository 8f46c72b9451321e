// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tier `xdp` of IPv6 underlays. */
#define CULVERT_UNDERLAY_IP6
#include "xdp.bpf.c"
