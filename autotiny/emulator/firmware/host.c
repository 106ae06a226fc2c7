/* Runs the model over many samples inside one call, for the host build. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern uint8_t AUTOTINY_ARENA[];
int AUTOTINY_RUN(void);
void AUTOTINY_RESET(void);

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* A port: byte offset into the arena, bytes a sample, samples one after the other. */
typedef struct {
  size_t offset;
  size_t bytes;
  uint8_t *samples;
} Port;

EXPORT void autotiny_predict(const Port *inputs, size_t input_count, const Port *outputs,
                             size_t output_count, size_t sample_count, int keep_state) {
  (void)keep_state; /* of use only where the model has state */
  for (size_t n = 0; n < sample_count; n++) {
    if (!keep_state) {
      AUTOTINY_RESET();
    }
    for (size_t k = 0; k < input_count; k++) {
      const Port *port = &inputs[k];
      memcpy(AUTOTINY_ARENA + port->offset, port->samples + n * port->bytes, port->bytes);
    }
    AUTOTINY_RUN();
    for (size_t k = 0; k < output_count; k++) {
      const Port *port = &outputs[k];
      memcpy(port->samples + n * port->bytes, AUTOTINY_ARENA + port->offset, port->bytes);
    }
  }
}
