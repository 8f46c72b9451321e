// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tier `tc` of IPv6 underlays. */
#define CULVERT_UNDERLAY_IP6
#include "tc.bpf.c"
