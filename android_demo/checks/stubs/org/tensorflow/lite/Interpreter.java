// STUB, not LiteRT: the part of its public API that the generated module uses, to check types where its AAR cannot be had.
package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.util.Map;

public final class Interpreter implements AutoCloseable {
  public Interpreter(ByteBuffer model, Options options) {
    throw new UnsupportedOperationException("a stub");
  }

  public int getInputIndex(String name) {
    throw new UnsupportedOperationException("a stub");
  }

  public int getOutputIndex(String name) {
    throw new UnsupportedOperationException("a stub");
  }

  public Tensor getInputTensor(int index) {
    throw new UnsupportedOperationException("a stub");
  }

  public Tensor getOutputTensor(int index) {
    throw new UnsupportedOperationException("a stub");
  }

  public void runForMultipleInputsOutputs(Object[] inputs, Map<Integer, Object> outputs) {
    throw new UnsupportedOperationException("a stub");
  }

  @Override
  public void close() {
    throw new UnsupportedOperationException("a stub");
  }

  public static class Options {
    public Options setNumThreads(int threads) {
      throw new UnsupportedOperationException("a stub");
    }

    public Options setUseXNNPACK(boolean use) {
      throw new UnsupportedOperationException("a stub");
    }

    public Options setUseNNAPI(boolean use) {
      throw new UnsupportedOperationException("a stub");
    }
  }
}
