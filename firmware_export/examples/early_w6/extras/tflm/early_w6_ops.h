// The operators of early_w6, and no others, for TensorFlow Lite Micro.
#ifndef EARLY_W6_OPS_H
#define EARLY_W6_OPS_H

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

inline tflite::MicroMutableOpResolver<5> early_w6_ops() {
  tflite::MicroMutableOpResolver<5> resolver;
  resolver.AddAdd();
  resolver.AddAveragePool2D();
  resolver.AddConcatenation();
  resolver.AddConv2D();
  resolver.AddFullyConnected();
  return resolver;
}

#endif
