// Stands for /dev/udmabuf where the kernel has none: lavapipe allocates there what it exports, and gamescope has it export its output
// and the windows' pictures. To be preloaded into gamescope alone. A "DMA-BUF" from here is the memfd that it was to be made of: it can
// be mapped and passed on, but no kernel imports it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

// Any file will do for the device: it is asked for its one ioctl only.
#define STANDS_FOR(open)                                                      \
  int open(const char *path, int flags, ...) {                                \
    va_list rest;                                                             \
    va_start(rest, flags);                                                    \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;   \
    va_end(rest);                                                             \
    if (!strcmp(path, "/dev/udmabuf"))                                        \
      return memfd_create("udmabuf", MFD_CLOEXEC);                            \
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #open);            \
    return real(path, flags, mode);                                           \
  }
STANDS_FOR(open)
STANDS_FOR(open64)

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (request == UDMABUF_CREATE)
    return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
  int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
  return real(fd, request, argument);
}

// gamescope waits until nobody draws to a DMA-BUF any more: one of udmabuf's is ready at once, where a memfd cannot be waited for.
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
  int (*real)(int, int, int, struct epoll_event *) = dlsym(RTLD_NEXT, "epoll_ctl");
  int result = real(epoll, operation, fd, event);
  if (result < 0 && errno == EPERM && fcntl(fd, F_GET_SEALS) > 0) {
    int ready = eventfd(1, EFD_CLOEXEC);
    if (dup3(ready, fd, O_CLOEXEC) < 0)
      return -1;
    close(ready);
    result = real(epoll, operation, fd, event);
  }
  return result;
}
