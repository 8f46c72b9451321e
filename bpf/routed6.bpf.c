// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Routed overlays over IPv6 underlays. */
#define CULVERT_UNDERLAY_IP6
#include "routed.bpf.c"
