// SPDX-License-Identifier: Apache-2.0
// The forwarder's steps in C: what the Swift ones are measured against. Same frames, same order, same results.
#pragma once
#include "../../../bpf/abi/culvert.h"
#include <stddef.h>

struct culvert_reference_burst {
  unsigned char *memory;
  /// Where each frame lies, and its bytes.
  const unsigned int *offsets;
  unsigned int bytes;
  unsigned int count;
  const struct culvert_tunnel *tunnels;
  unsigned int tunnel_count;
  unsigned long long seed;
  /// What every frame's checksum field is set to before it is completed.
  unsigned short unfinished;
  /// Of outer identifications: the next block, and the next number of each flow (CULVERT_ID_FLOWS).
  unsigned int *next_block;
  unsigned short *next_numbers;
};

/// Each runs over the burst so many times and returns something that depends on all it did.
unsigned long long culvert_reference_touch(const struct culvert_reference_burst *burst, unsigned int turns);
unsigned long long culvert_reference_parse(const struct culvert_reference_burst *burst, unsigned int turns);
unsigned long long culvert_reference_look_up(const struct culvert_reference_burst *burst, unsigned int turns);
unsigned long long culvert_reference_encapsulate(const struct culvert_reference_burst *burst, unsigned int turns);
unsigned long long culvert_reference_complete(const struct culvert_reference_burst *burst, unsigned int turns);
