// @NOTE@
package edgecomp.@PACKAGE@

import edgecomp.core.Facts
import edgecomp.core.Model
import edgecomp.core.ModelError
import edgecomp.core.Output
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.TensorFlowLite

/** A TFLite file in LiteRT; [file] is a mapped or direct buffer, and stays in use as long as the model. */
internal class LiteRtModel(
    private val facts: Facts,
    file: ByteBuffer,
    override val threads: Int,
    wanted: String,
) : Model {
    private val interpreter = Interpreter(file, options(threads, wanted))
    private val probabilitiesAt: Int
    private val uncertaintyAt: Int
    private val waveform = ByteBuffer.allocateDirect(4 * facts.samples).order(ByteOrder.nativeOrder())

    override val runtime = "LiteRT @LITERT@ (TFLite ${TensorFlowLite.runtimeVersion()})"
    override val delegate = if (wanted == "default") "xnnpack" else wanted

    init {
        try {
            check(interpreter.getInputTensor(at("waveform", interpreter::getInputIndex)), "waveform", facts.samples)
            probabilitiesAt = at("probabilities", interpreter::getOutputIndex)
            uncertaintyAt = at("uncertainty", interpreter::getOutputIndex)
            check(interpreter.getOutputTensor(probabilitiesAt), "probabilities", facts.labels.size)
            check(interpreter.getOutputTensor(uncertaintyAt), "uncertainty", 1)
        } catch (why: ModelError) {
            interpreter.close()
            throw why
        }
    }

    @Synchronized
    override fun run(waveform: FloatArray): Output {
        require(waveform.size == facts.samples) { "${waveform.size} samples, and the model takes ${facts.samples}" }
        this.waveform.rewind()
        this.waveform.asFloatBuffer().put(waveform)
        val probabilities = arrayOf(FloatArray(facts.labels.size))
        val uncertainty = arrayOf(FloatArray(1))
        val outputs = mapOf<Int, Any>(probabilitiesAt to probabilities, uncertaintyAt to uncertainty)
        try {
            interpreter.runForMultipleInputsOutputs(arrayOf<Any>(this.waveform), outputs)
        } catch (why: RuntimeException) { // what it raises where the native side fails
            throw ModelError("the model cannot be run here: ${why.message}", why)
        }
        return Output(probabilities[0], uncertainty[0][0])
    }

    override fun close() = interpreter.close()

    private companion object {
        fun options(threads: Int, wanted: String): Interpreter.Options {
            val cpu = Interpreter.Options().setNumThreads(threads).setUseXNNPACK(wanted == "default" || wanted == "xnnpack")
            return when (wanted) {
                "default", "xnnpack", "none" -> cpu
                "nnapi" -> cpu.setUseNNAPI(true)
                else -> throw ModelError("no delegate $wanted; LiteRT has default (xnnpack), none and nnapi here")
            }
        }
    }

    private fun at(name: String, index: (String) -> Int): Int = try {
        index(name)
    } catch (why: IllegalArgumentException) {
        throw ModelError("${facts.modelFile} has no tensor '$name'", why)
    }

    private fun check(tensor: Tensor, name: String, width: Int) {
        if (!tensor.shape().contentEquals(intArrayOf(1, width)) || tensor.dataType() != DataType.FLOAT32) {
            throw ModelError("'$name' is ${tensor.dataType()} ${tensor.shape().contentToString()}, not FLOAT32 [1, $width]")
        }
    }
}
