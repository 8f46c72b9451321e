// SPDX-License-Identifier: Apache-2.0
#include "culvert_bpf_objects.h"

// libbpf reads ELF in place: 8-byte alignment.
static const _Alignas(8) unsigned char xdp[] = {
#embed "generated/xdp.bpf.o"
};
static const _Alignas(8) unsigned char xdp6[] = {
#embed "generated/xdp6.bpf.o"
};
static const _Alignas(8) unsigned char afxdp[] = {
#embed "generated/afxdp.bpf.o"
};
static const _Alignas(8) unsigned char send[] = {
#embed "generated/send.bpf.o"
};
static const _Alignas(8) unsigned char tc[] = {
#embed "generated/tc.bpf.o"
};
static const _Alignas(8) unsigned char tc6[] = {
#embed "generated/tc6.bpf.o"
};
static const _Alignas(8) unsigned char routed[] = {
#embed "generated/routed.bpf.o"
};
static const _Alignas(8) unsigned char routed6[] = {
#embed "generated/routed6.bpf.o"
};
static const _Alignas(8) unsigned char routed_xdp[] = {
#embed "generated/routed_xdp.bpf.o"
};
static const _Alignas(8) unsigned char routed_xdp6[] = {
#embed "generated/routed_xdp6.bpf.o"
};
static const _Alignas(8) unsigned char probe[] = {
#embed "generated/probe.bpf.o"
};
static const _Alignas(8) unsigned char bench[] = {
#embed "generated/bench.bpf.o"
};
static const _Alignas(8) unsigned char cost[] = {
#embed "generated/cost.bpf.o"
};
static const _Alignas(8) unsigned char drops[] = {
#embed "generated/drops.bpf.o"
};

struct culvert_bpf_object culvert_bpf_xdp(void) {
  return (struct culvert_bpf_object){"culvert_xdp", xdp, sizeof xdp};
}

struct culvert_bpf_object culvert_bpf_xdp6(void) {
  return (struct culvert_bpf_object){"culvert_xdp6", xdp6, sizeof xdp6};
}

struct culvert_bpf_object culvert_bpf_afxdp(void) {
  return (struct culvert_bpf_object){"culvert_afxdp", afxdp, sizeof afxdp};
}

struct culvert_bpf_object culvert_bpf_send(void) {
  return (struct culvert_bpf_object){"culvert_send", send, sizeof send};
}

struct culvert_bpf_object culvert_bpf_tc(void) {
  return (struct culvert_bpf_object){"culvert_tc", tc, sizeof tc};
}

struct culvert_bpf_object culvert_bpf_tc6(void) {
  return (struct culvert_bpf_object){"culvert_tc6", tc6, sizeof tc6};
}

struct culvert_bpf_object culvert_bpf_routed(void) {
  return (struct culvert_bpf_object){"culvert_routed", routed, sizeof routed};
}

struct culvert_bpf_object culvert_bpf_routed6(void) {
  return (struct culvert_bpf_object){"culvert_routed6", routed6, sizeof routed6};
}

struct culvert_bpf_object culvert_bpf_routed_xdp(void) {
  return (struct culvert_bpf_object){"culvert_routed_xdp", routed_xdp, sizeof routed_xdp};
}

struct culvert_bpf_object culvert_bpf_routed_xdp6(void) {
  return (struct culvert_bpf_object){"culvert_routed_xdp6", routed_xdp6, sizeof routed_xdp6};
}

struct culvert_bpf_object culvert_bpf_probe(void) {
  return (struct culvert_bpf_object){"culvert_probe", probe, sizeof probe};
}

struct culvert_bpf_object culvert_bpf_bench(void) {
  return (struct culvert_bpf_object){"culvert_bench", bench, sizeof bench};
}

struct culvert_bpf_object culvert_bpf_cost(void) {
  return (struct culvert_bpf_object){"culvert_cost", cost, sizeof cost};
}

struct culvert_bpf_object culvert_bpf_drops(void) {
  return (struct culvert_bpf_object){"culvert_drops", drops, sizeof drops};
}
