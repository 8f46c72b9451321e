// SPDX-License-Identifier: Apache-2.0
// BPF_PROG_RUN with live frames (Documentation/bpf/bpf_prog_run.rst) for a loop that calls nothing else: libbpf's
// wrapper reads the program's attributes anew each time.
#pragma once
#include <stdint.h>

/// Runs the XDP program over `count` new frames of `bytes` zeros, at least 14 and at most 2048, and carries out what it
/// returns. Returns 0 or -errno; EINTR: fewer.
int culvert_run_live_frames(int program, uint32_t bytes, uint32_t count);
