/* One inference after the other. The input lies in the arena when autotiny_ready() is called, the
 * output when autotiny_done() is: a debugger, an emulator or a timer can stand at both. */
int AUTOTINY_RUN(void);
int main(void);
void autotiny_ready(void);
void autotiny_done(void);

__attribute__((noinline)) void autotiny_ready(void) { __asm volatile("" ::: "memory"); }

__attribute__((noinline)) void autotiny_done(void) { __asm volatile("" ::: "memory"); }

int main(void) {
  for (;;) {
    autotiny_ready();
    AUTOTINY_RUN();
    autotiny_done();
  }
}
