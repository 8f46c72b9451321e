// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tier `xdp` of routed overlays over IPv6 underlays. */
#define CULVERT_UNDERLAY_IP6
#include "routed_xdp.bpf.c"
