/* Runs the model over the samples of stdin and writes its outputs to stdout, for the host build.

   host <samples> <keep state>: a sample is its inputs one after the other, and so are its outputs. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

#include AUTOTINY_HEADER

AUTOTINY_INSTANCE

/* A port: byte offset into the arena, bytes a sample; one of no bytes ends a list. */
typedef struct {
  size_t offset;
  size_t bytes;
} Port;

static const Port inputs[] = {AUTOTINY_INPUTS{0, 0}};
static const Port outputs[] = {AUTOTINY_OUTPUTS{0, 0}};

int main(int argc, char **argv) {
  const size_t sample_count = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : 0;
  const int keep_state = argc > 2 && argv[2][0] == '1';
#if defined(_WIN32)
  _setmode(0, _O_BINARY);
  _setmode(1, _O_BINARY);
#endif
  for (size_t n = 0; n < sample_count; n++) {
    if (n == 0 || !keep_state) {
      AUTOTINY_RESET;
    }
    for (const Port *port = inputs; port->bytes != 0; port++) {
      if (fread(AUTOTINY_ARENA + port->offset, 1, port->bytes, stdin) != port->bytes) {
        return 1;
      }
    }
    AUTOTINY_RUN;
    for (const Port *port = outputs; port->bytes != 0; port++) {
      if (fwrite(AUTOTINY_ARENA + port->offset, 1, port->bytes, stdout) != port->bytes) {
        return 2;
      }
    }
  }
  return fflush(stdout) == 0 ? 0 : 2;
}
