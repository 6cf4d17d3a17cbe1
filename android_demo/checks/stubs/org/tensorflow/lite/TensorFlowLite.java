// STUB, not LiteRT: the part of its public API that the generated module uses, to check types where its AAR cannot be had.
package org.tensorflow.lite;

public final class TensorFlowLite {
  private TensorFlowLite() {}

  public static String runtimeVersion() {
    throw new UnsupportedOperationException("a stub");
  }
}
