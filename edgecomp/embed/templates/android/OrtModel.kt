// @NOTE@
package edgecomp.@PACKAGE@

import ai.onnxruntime.NodeInfo
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import edgecomp.core.Facts
import edgecomp.core.Model
import edgecomp.core.ModelError
import edgecomp.core.Output
import java.nio.ByteBuffer
import java.nio.FloatBuffer

/** An ONNX file in ONNX Runtime; [file] is a mapped or direct buffer. */
internal class OrtModel(
    private val facts: Facts,
    file: ByteBuffer,
    override val threads: Int,
    wanted: String,
) : Model {
    private val environment = OrtEnvironment.getEnvironment()
    private val session = OrtSession.SessionOptions().use { options ->
        options.setIntraOpNumThreads(threads)
        options.setInterOpNumThreads(1)
        when (wanted) {
            "default" -> {}
            "nnapi" -> options.addNnapi()
            "xnnpack" -> options.addXnnpack(mapOf("intra_op_num_threads" to "$threads"))
            else -> throw ModelError("no delegate $wanted; ONNX Runtime has default (cpu), nnapi and xnnpack here")
        }
        environment.createSession(file, options)
    }

    override val runtime = "ONNX Runtime ${environment.version}"
    override val delegate = if (wanted == "default") "cpu" else wanted

    init {
        try {
            check(session.inputInfo, "waveform", facts.samples)
            check(session.outputInfo, "probabilities", facts.labels.size)
            check(session.outputInfo, "uncertainty", 1)
        } catch (why: ModelError) {
            session.close()
            throw why
        }
    }

    @Synchronized
    override fun run(waveform: FloatArray): Output {
        require(waveform.size == facts.samples) { "${waveform.size} samples, and the model takes ${facts.samples}" }
        val shape = longArrayOf(1, facts.samples.toLong())
        try {
            OnnxTensor.createTensor(environment, FloatBuffer.wrap(waveform), shape).use { input ->
                session.run(mapOf("waveform" to input), setOf("probabilities", "uncertainty")).use { answers ->
                    return Output(floats(answers, "probabilities"), floats(answers, "uncertainty")[0])
                }
            }
        } catch (why: OrtException) {
            throw ModelError("the model cannot be run here: ${why.message}", why)
        }
    }

    override fun close() = session.close()

    private fun floats(answers: OrtSession.Result, name: String): FloatArray {
        val buffer = (answers.first { it.key == name }.value as OnnxTensor).floatBuffer
        return FloatArray(buffer.remaining()).also { buffer.get(it) }
    }

    private fun check(nodes: Map<String, NodeInfo>, name: String, width: Int) {
        val node = nodes[name] ?: throw ModelError("${facts.modelFile} has no '$name'; it has ${nodes.keys.joinToString()}")
        val tensor = node.info as? TensorInfo
        if (tensor == null || !tensor.shape.contentEquals(longArrayOf(1, width.toLong())) || tensor.type != OnnxJavaType.FLOAT) {
            throw ModelError("'$name' is ${node.info}, not FLOAT [1, $width]")
        }
    }
}
