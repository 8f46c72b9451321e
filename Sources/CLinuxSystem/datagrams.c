// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

struct culvert_datagrams {
  unsigned count;
  size_t size;
  uint8_t *bytes;
  struct iovec *parts;
  struct mmsghdr *messages;
};

struct culvert_datagrams *culvert_datagrams_make(unsigned count, size_t size) {
  struct culvert_datagrams *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->count = count;
  d->size = size;
  d->bytes = calloc(count, size ? size : 1);
  d->parts = calloc(count, sizeof *d->parts);
  d->messages = calloc(count, sizeof *d->messages);
  if (!d->bytes || !d->parts || !d->messages) {
    culvert_datagrams_free(d);
    return NULL;
  }
  for (unsigned i = 0; i < count; i++) {
    d->parts[i] = (struct iovec){.iov_base = d->bytes + i * size, .iov_len = size};
    d->messages[i].msg_hdr.msg_iov = &d->parts[i];
    d->messages[i].msg_hdr.msg_iovlen = 1;
  }
  return d;
}

void culvert_datagrams_free(struct culvert_datagrams *d) {
  if (!d) return;
  free(d->bytes);
  free(d->parts);
  free(d->messages);
  free(d);
}

uint8_t *culvert_datagrams_payload(struct culvert_datagrams *d, unsigned index) {
  return d->bytes + index * d->size;
}

unsigned culvert_datagrams_length(const struct culvert_datagrams *d, unsigned index) {
  return d->messages[index].msg_len;
}

int culvert_datagrams_send(struct culvert_datagrams *d, int fd, unsigned count) {
  int sent = sendmmsg(fd, d->messages, count < d->count ? count : d->count, 0);
  return sent < 0 ? -errno : sent;
}

int culvert_datagrams_receive(struct culvert_datagrams *d, int fd) {
  int received = recvmmsg(fd, d->messages, d->count, MSG_WAITFORONE, NULL);
  return received < 0 ? -errno : received;
}
