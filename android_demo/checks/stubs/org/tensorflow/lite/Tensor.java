// STUB, not LiteRT: the part of its public API that the generated module uses, to check types where its AAR cannot be had.
package org.tensorflow.lite;

public interface Tensor {
  int[] shape();

  DataType dataType();
}
