${head}// Runs $name once on zeros and prints its outputs. Put your inputs where the zeros are.

#include <$name.h>

$arrays

void setup() {
  Serial.begin(115200);
  while (!Serial && millis() < 5000) {
  }
  const unsigned long start = micros();
  $run
  const unsigned long end = micros();
$prints
  Serial.print("microseconds: ");
  Serial.println(end - start);
}

void loop() {}
