// SPDX-License-Identifier: Apache-2.0
// The compiled BPF programs, embedded, and the layout they share with user space.
#pragma once
#include "../../../bpf/abi/afxdp.h"
#include "../../../bpf/abi/bench.h"
#include "../../../bpf/abi/culvert.h"
#include <stddef.h>

struct culvert_bpf_object {
  const char *name;
  const void *data;
  size_t size;
};

/// bpf/xdp.bpf.c: the tier `xdp`.
struct culvert_bpf_object culvert_bpf_xdp(void);
/// bpf/xdp6.bpf.c: the tier `xdp` of IPv6 underlays.
struct culvert_bpf_object culvert_bpf_xdp6(void);
/// bpf/afxdp.bpf.c: hands frames to the forwarder of tier `afxdp`.
struct culvert_bpf_object culvert_bpf_afxdp(void);
/// bpf/send.bpf.c: sends a worker's frames by redirection.
struct culvert_bpf_object culvert_bpf_send(void);
/// bpf/tc.bpf.c: the tier `tc`.
struct culvert_bpf_object culvert_bpf_tc(void);
/// bpf/tc6.bpf.c: the tier `tc` of IPv6 underlays.
struct culvert_bpf_object culvert_bpf_tc6(void);
/// bpf/routed.bpf.c: tier `tc` of an overlay that is routed.
struct culvert_bpf_object culvert_bpf_routed(void);
/// bpf/routed6.bpf.c: the same over IPv6 underlays.
struct culvert_bpf_object culvert_bpf_routed6(void);
/// bpf/routed_xdp.bpf.c: tier `xdp` of an overlay that is routed.
struct culvert_bpf_object culvert_bpf_routed_xdp(void);
/// bpf/routed_xdp6.bpf.c: the same over IPv6 underlays.
struct culvert_bpf_object culvert_bpf_routed_xdp6(void);
/// bpf/probe.bpf.c: asks the kernel what only trying tells.
struct culvert_bpf_object culvert_bpf_probe(void);
/// bpf/bench.bpf.c: live-frame generator and counting sink.
struct culvert_bpf_object culvert_bpf_bench(void);
/// bpf/cost.bpf.c: tier `xdp` step by step, for measuring each.
struct culvert_bpf_object culvert_bpf_cost(void);
/// bpf/drops.bpf.c: counts forwarded frames that did not leave. Needs kernel BTF.
struct culvert_bpf_object culvert_bpf_drops(void);
