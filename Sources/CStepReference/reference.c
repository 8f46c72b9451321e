// SPDX-License-Identifier: Apache-2.0
#include "culvert_step_reference.h"
#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

enum { ETHERNET = 14, OUTER = 50, OUTER_IP = 14, OUTER_UDP = 34, OUTER_VXLAN = 42 };

static inline uint16_t u16(const unsigned char *at) { uint16_t v; memcpy(&v, at, 2); return v; }
static inline uint32_t u32(const unsigned char *at) { uint32_t v; memcpy(&v, at, 4); return v; }
static inline uint64_t u64(const unsigned char *at) { uint64_t v; memcpy(&v, at, 8); return v; }
static inline void put16(unsigned char *at, uint16_t v) { memcpy(at, &v, 2); }
static inline void put32(unsigned char *at, uint32_t v) { memcpy(at, &v, 4); }

static inline uint16_t fold(uint64_t sum) {
  uint64_t word = (sum & 0xffffffff) + (sum >> 32);
  uint64_t half = (word & 0xffff) + (word >> 16);
  uint64_t once = (half & 0xffff) + (half >> 16);
  return (uint16_t)((once & 0xffff) + (once >> 16));
}

static inline uint64_t sum_of(const unsigned char *bytes, size_t count) {
  uint64_t low = 0, high = 0, total;
  size_t at = 0;
  for (; at + 32 <= count; at += 32)
    for (int step = 0; step < 4; step++) {
      uint64_t word = u64(bytes + at + 8 * step);
      low += word & 0xffffffff;
      high += word >> 32;
    }
  for (; at + 4 <= count; at += 4) low += u32(bytes + at);
  if (at + 2 <= count) {
    low += u16(bytes + at);
    at += 2;
  }
  if (at < count) low += htons((uint16_t)(bytes[at] << 8));
  total = low + high;
  return (total & 0xffffffff) + (total >> 32);
}

struct inner {
  unsigned char *frame, *l4;
  size_t bytes, l4_bytes;
  int is_ipv4;
  uint8_t protocol, tos, ttl;
  uint16_t fragment;
};

static inline void parse(struct inner *in, unsigned char *frame, size_t bytes) {
  unsigned char *ip = frame + ETHERNET;
  size_t claimed, end;

  in->frame = frame;
  in->bytes = bytes;
  in->is_ipv4 = u16(frame + 12) == htons(0x0800);
  if (in->is_ipv4) {
    in->tos = ip[1];
    claimed = ntohs(u16(ip + 2));
    in->fragment = u16(ip + 6);
    in->ttl = ip[8];
    in->protocol = ip[9];
    in->l4 = ip + (ip[0] & 0xf) * 4;
  } else {
    in->tos = (uint8_t)(ntohs(u16(ip)) >> 4);
    claimed = 40 + (size_t)ntohs(u16(ip + 4));
    in->protocol = ip[6];
    in->ttl = ip[7];
    in->fragment = 0;
    in->l4 = ip + 40;
  }
  end = ETHERNET + claimed < bytes ? ETHERNET + claimed : bytes;
  in->l4_bytes = frame + end > in->l4 ? (size_t)(frame + end - in->l4) : 0;
}

static inline uint64_t pseudo_header(const struct inner *in) {
  const unsigned char *ip = in->frame + ETHERNET;
  uint64_t sum = htonl(in->protocol) + (uint64_t)htonl((uint32_t)in->l4_bytes);
  if (in->is_ipv4) return sum + u32(ip + 12) + u32(ip + 16);
  for (int word = 0; word < 8; word++) sum += u32(ip + 8 + 4 * word);
  return sum;
}

static inline int is_fragment(const struct inner *in) { return (in->fragment & htons(0x3fff)) != 0; }

static inline void complete(const struct inner *in) {
  unsigned char *field;
  uint16_t sum;
  if (in->protocol == 6 && in->l4_bytes >= 20) field = in->l4 + 16;
  else if (in->protocol == 17 && in->l4_bytes >= 8) field = in->l4 + 6;
  else return;
  if (is_fragment(in) || u16(field) != fold(pseudo_header(in))) return;
  sum = ~fold(sum_of(in->l4, in->l4_bytes));
  put16(field, !sum && in->protocol == 17 ? 0xffff : sum);
}

static inline uint64_t mix(uint64_t state, uint64_t word) {
  uint64_t mixed = (state ^ word) * 0x9e3779b97f4a7c15ull;
  return mixed ^ (mixed >> 32);
}

static inline uint32_t flow_hash(const struct inner *in, uint64_t seed) {
  const unsigned char *ip = in->frame + ETHERNET;
  uint64_t last = in->protocol, state = seed;
  int has_ports = (in->protocol == 17 || in->protocol == 6 || in->protocol == 132) && !is_fragment(in) &&
                  in->l4_bytes >= 4;
  if (has_ports) last |= (uint64_t)u32(in->l4) << 32;
  if (in->is_ipv4) {
    state = mix(state, u64(ip + 12));
  } else {
    if (!has_ports) last |= (uint64_t)(u32(ip) & htonl(0xfffff)) << 32;
    for (int word = 0; word < 4; word++) state = mix(state, u64(ip + 8 + 8 * word));
  }
  return (uint32_t)(mix(mix(state, last), last) >> 32);
}

static inline uint16_t next_identification(const struct culvert_reference_burst *burst, uint32_t hash) {
  unsigned short *number = &burst->next_numbers[hash & (CULVERT_ID_FLOWS - 1)];
  if (!(*number & (CULVERT_ID_BLOCK - 1))) {
    *number = (unsigned short)__atomic_fetch_add(burst->next_block, CULVERT_ID_BLOCK, __ATOMIC_RELAXED);
  }
  return (*number)++;
}

static inline void write_outer(const struct inner *in, const struct culvert_tunnel *tunnel,
                               const struct culvert_reference_burst *burst) {
  unsigned char *outer = in->frame - OUTER;
  uint32_t flags = tunnel->flags, hash = flow_hash(in, burst->seed);
  uint8_t ttl = flags & CULVERT_TUNNEL_TTL_INHERIT && in->ttl ? in->ttl : tunnel->ttl;
  uint32_t width = (uint32_t)tunnel->source_max - tunnel->source_min + 1;
  uint16_t port = (uint16_t)(tunnel->source_min + (uint32_t)(((uint64_t)hash * width) >> 32));
  uint16_t ip_bytes = (uint16_t)(in->bytes + OUTER - OUTER_IP), fragment = 0;
  uint8_t base = flags & CULVERT_TUNNEL_TOS_INHERIT ? in->tos : tunnel->tos, ecn = in->tos & 3;
  uint8_t tos = (base & ~3) | (ecn == 3 ? 2 : ecn);
  uint16_t udp_bytes = htons(ip_bytes - 20), udp_check = 0;
  uint64_t addresses = (uint64_t)tunnel->local + tunnel->remote;
  uint32_t ip0, ip1, ip2, ports;
  if (flags & CULVERT_TUNNEL_DF_SET) fragment = 0x4000;
  else if (flags & CULVERT_TUNNEL_DF_INHERIT) fragment = in->is_ipv4 ? ntohs(in->fragment) & 0x4000 : 0x4000;
  ip0 = htonl((uint32_t)(0x4500 | tos) << 16 | ip_bytes);
  ip1 = htonl((uint32_t)next_identification(burst, hash) << 16 | fragment);
  ip2 = htonl((uint32_t)(ttl << 8 | 17) << 16);
  ports = htonl((uint32_t)port << 16 | ntohs(tunnel->udp_port));
  if (flags & CULVERT_TUNNEL_UDP_CSUM) {
    uint64_t sum = sum_of(in->frame, in->bytes) + addresses + htons(17);
    sum += (uint64_t)udp_bytes * 2 + ports + htonl(0x08000000) + (uint64_t)tunnel->vni_be;
    udp_check = ~fold(sum);
    if (!udp_check) udp_check = 0xffff;
  }
  memcpy(outer, tunnel->dst_mac, 6);
  memcpy(outer + 6, tunnel->src_mac, 6);
  put16(outer + 12, htons(0x0800));
  put32(outer + OUTER_IP, ip0);
  put32(outer + OUTER_IP + 4, ip1);
  put32(outer + OUTER_IP + 8, ip2);
  put16(outer + OUTER_IP + 10, ~fold((uint64_t)ip0 + ip1 + ip2 + addresses));
  put32(outer + OUTER_IP + 12, tunnel->local);
  put32(outer + OUTER_IP + 16, tunnel->remote);
  put32(outer + OUTER_UDP, ports);
  put16(outer + OUTER_UDP + 4, udp_bytes);
  put16(outer + OUTER_UDP + 6, udp_check);
  put32(outer + OUTER_VXLAN, htonl(0x08000000));
  put32(outer + OUTER_VXLAN + 4, tunnel->vni_be);
}

#define FRAME(burst, index) ((burst)->memory + (burst)->offsets[index])

static __attribute__((noinline)) unsigned long long touch_burst(const struct culvert_reference_burst *burst) {
  unsigned long long seen = 0;
  for (unsigned int index = 0; index < burst->count; index++) seen += *FRAME(burst, index);
  return seen;
}

static __attribute__((noinline)) unsigned long long parse_burst(const struct culvert_reference_burst *burst) {
  unsigned long long seen = 0;
  for (unsigned int index = 0; index < burst->count; index++) {
    struct inner in;
    parse(&in, FRAME(burst, index), burst->bytes);
    seen += in.l4_bytes + in.protocol + in.tos + in.ttl + in.fragment;
  }
  return seen;
}

static __attribute__((noinline)) unsigned long long look_up_burst(const struct culvert_reference_burst *burst) {
  unsigned long long seen = 0;
  for (unsigned int index = 0; index < burst->count; index++) {
    unsigned char *frame = FRAME(burst, index);
    struct inner in;
    uint32_t target = u32(frame - 8);
    parse(&in, frame, burst->bytes);
    seen += in.l4_bytes + in.protocol + in.tos + in.ttl + in.fragment;
    if (u32(frame - 4) == CULVERT_FORWARDED_ENCAP && target < burst->tunnel_count) {
      seen += burst->tunnels[target].valid;
    }
  }
  return seen;
}

static __attribute__((noinline)) unsigned long long encapsulate_burst(const struct culvert_reference_burst *burst) {
  unsigned long long seen = 0;
  for (unsigned int index = 0; index < burst->count; index++) {
    unsigned char *frame = FRAME(burst, index);
    uint32_t target = u32(frame - 8);
    struct inner in;
    // The words lie where the outer headers go: they are read before, and put back.
    uint64_t words = u64(frame - 8);
    if (u32(frame - 4) != CULVERT_FORWARDED_ENCAP || target >= burst->tunnel_count ||
        !burst->tunnels[target].valid)
      continue;
    parse(&in, frame, burst->bytes);
    write_outer(&in, burst->tunnels + target, burst);
    seen += u16(frame - OUTER + OUTER_IP + 10);
    memcpy(frame - 8, &words, 8);
  }
  return seen;
}

static __attribute__((noinline)) unsigned long long complete_burst(const struct culvert_reference_burst *burst) {
  unsigned long long seen = 0;
  for (unsigned int index = 0; index < burst->count; index++) {
    struct inner in;
    parse(&in, FRAME(burst, index), burst->bytes);
    put16(in.l4 + (in.protocol == 6 ? 16 : 6), burst->unfinished);
    complete(&in);
    seen += u16(in.l4 + (in.protocol == 6 ? 16 : 6));
  }
  return seen;
}

// The barrier: what only reads the burst would else be run once for all turns.
#define REFERENCE(step) \
  unsigned long long culvert_reference_##step(const struct culvert_reference_burst *burst, unsigned int turns) { \
    unsigned long long seen = 0; \
    while (turns--) { \
      seen += step##_burst(burst); \
      __asm__ volatile("" ::: "memory"); \
    } \
    return seen; \
  }

REFERENCE(touch)
REFERENCE(parse)
REFERENCE(look_up)
REFERENCE(encapsulate)
REFERENCE(complete)
