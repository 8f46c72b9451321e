// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_xdp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The end is what tells: the verifier's last lines name the reason.
#define LOG_BYTES 16384
static _Thread_local char log_text[LOG_BYTES];
static _Thread_local size_t log_used;

static void append(const char *text, size_t size) {
  if (size >= LOG_BYTES) {
    text += size - (LOG_BYTES - 1);
    size = LOG_BYTES - 1;
  }
  size_t excess = log_used + size < LOG_BYTES ? 0 : log_used + size - (LOG_BYTES - 1);
  memmove(log_text, log_text + excess, log_used - excess);
  log_used -= excess;
  memcpy(log_text + log_used, text, size);
  log_used += size;
  log_text[log_used] = 0;
}

static int capture(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char *text = NULL;
  int size = vasprintf(&text, format, arguments);
  if (size > 0) append(text, (size_t)size);
  if (size >= 0) free(text);
  return size;
}

void culvert_bpf_capture(void) { libbpf_set_print(capture); }

void culvert_bpf_log_clear(void) {
  log_used = 0;
  log_text[0] = 0;
}

const char *culvert_bpf_log(void) { return log_text; }

struct bpf_object *culvert_bpf_open(const char *name, const void *data, size_t size) {
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
  return bpf_object__open_mem(data, size, &options);
}

void *culvert_bpf_variable(struct bpf_object *object, const char *name, size_t *size) {
  static const char *const sections[] = {".rodata", ".data", ".bss"};
  const struct btf *btf = bpf_object__btf(object);
  for (size_t s = 0; btf && s < sizeof sections / sizeof *sections; s++) {
    struct bpf_map *map = bpf_object__find_map_by_name(object, sections[s]);
    int id = btf__find_by_name_kind(btf, sections[s], BTF_KIND_DATASEC);
    if (!map || id < 0) continue;
    const struct btf_type *section = btf__type_by_id(btf, (__u32)id);
    const struct btf_var_secinfo *variable = btf_var_secinfos(section);
    for (int i = 0; i < btf_vlen(section); i++, variable++) {
      const struct btf_type *type = btf__type_by_id(btf, variable->type);
      if (strcmp(btf__name_by_offset(btf, type->name_off), name)) continue;
      size_t section_size;
      char *start = (char *)bpf_map__initial_value(map, &section_size);
      *size = variable->size;
      return start ? start + variable->offset : NULL;
    }
  }
  return NULL;
}

int culvert_xdp_link(int program, int ifindex, uint32_t flags) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
  int link = bpf_link_create(program, ifindex, BPF_XDP, &options);
  return link < 0 ? -errno : link;
}

int culvert_tcx_link(int program, int ifindex) {
  enum { TCX_INGRESS = 46 };  // newer than Debian 12's headers
  int link = bpf_link_create(program, ifindex, (enum bpf_attach_type)TCX_INGRESS, NULL);
  return link < 0 ? -errno : link;
}

int culvert_filter_add(int program, int ifindex, uint32_t handle, uint32_t priority) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = handle, .priority = priority,
              .flags = BPF_TC_F_REPLACE);
  int status = bpf_tc_hook_create(&hook);
  if (status && status != -EEXIST) return status;
  return bpf_tc_attach(&hook, &options);
}

int culvert_filter_remove(int ifindex, uint32_t handle, uint32_t priority, bool with_clsact) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = priority);
  int status = bpf_tc_detach(&hook, &options);
  if (!with_clsact) return status;
  hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
  return bpf_tc_hook_destroy(&hook);
}
