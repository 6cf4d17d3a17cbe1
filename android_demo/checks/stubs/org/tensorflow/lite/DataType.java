// STUB, not LiteRT: the part of its public API that the generated module uses, to check types where its AAR cannot be had.
package org.tensorflow.lite;

public enum DataType {
  FLOAT32
}
