// @NOTE@
package edgecomp.model

import android.content.Context
import android.content.res.AssetManager
import android.system.Os
import edgecomp.core.Facts
import edgecomp.core.Model
import edgecomp.core.ModelError
import edgecomp.core.SelfTest
import edgecomp.core.goldenWaves
import edgecomp.core.selfTest
import edgecomp.core.sha256
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** A bundle inside an app: its facts, and how its model is loaded. */
abstract class Bundle : Facts {
    /** The folder of this version's assets. */
    protected abstract val assets: String

    /** Open a file of this bundle's format. */
    protected abstract fun open(file: ByteBuffer, threads: Int, delegate: String): Model

    /**
     * Load the model: mapped into memory where it lies in the package, never copied to the Java heap.
     *
     * delegate: "default" is XNNPACK in LiteRT and the CPU in ONNX Runtime; "none" (LiteRT's own kernels), "nnapi" and
     *           "xnnpack" are for measuring, since they may answer otherwise than what the bundle was verified with
     * raises: [ModelError], and nothing else, where the file is missing, was changed or cannot be run here
     */
    fun load(context: Context, threads: Int = this.threads, delegate: String = "default"): Model {
        reportNothing()
        val file = map(context.assets, "$assets/$modelFile")
        if (file.remaining().toLong() != modelBytes) throw ModelError("$modelFile has ${file.remaining()} bytes, not $modelBytes")
        return opened(file, modelSha256, threads, delegate)
    }

    /**
     * Load another model file of the same format and shape, for a benchmark of several; its labels must be this bundle's.
     *
     * raises: [ModelError], and nothing else
     */
    fun loadFile(place: File, sha256: String, threads: Int = this.threads, delegate: String = "default"): Model {
        val file = try {
            FileInputStream(place).channel.use { it.map(FileChannel.MapMode.READ_ONLY, 0, it.size()) }
        } catch (why: IOException) {
            throw ModelError("$place cannot be mapped: ${why.message}", why)
        }
        return opened(file, sha256, threads, delegate)
    }

    /** Switch ONNX Runtime's telemetry off: before its first use, since it reads this then. Nothing leaves the phone. */
    fun reportNothing() = Os.setenv("ORT_DISABLE_TELEMETRY", "1", true)

    private fun opened(file: ByteBuffer, sha256: String, threads: Int, delegate: String): Model {
        if (sha256(file) != sha256) throw ModelError("the model file was changed: its SHA-256 is not $sha256")
        try {
            return open(file, threads, delegate)
        } catch (why: ModelError) {
            throw why
        } catch (why: Exception) { // each runtime has errors of its own, with no class in common
            throw ModelError("$modelFile cannot be loaded here: ${why.message}", why)
        } catch (why: LinkageError) { // the runtime's library is not in the package for this processor
            throw ModelError("the runtime cannot be loaded on this processor: ${why.message}", why)
        }
    }

    /** Replay the golden clips on this device. Raises [ModelError] where they are missing or were changed. */
    fun selfTest(context: Context, model: Model): SelfTest = selfTest(this, model, golden(context))

    /** The golden clips as the model takes them, to time it with. Raises [ModelError] as [selfTest] does. */
    fun goldenWaves(context: Context): List<FloatArray> = goldenWaves(this, golden(context))

    private fun golden(context: Context): (String) -> ByteArray =
        { file -> context.assets.open("$assets/golden/$file").use { it.readBytes() } }

    private fun map(from: AssetManager, path: String): ByteBuffer = try {
        from.openFd(path).use { asset ->
            FileInputStream(asset.fileDescriptor).channel.use {
                it.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.declaredLength)
            }
        }
    } catch (why: IOException) {
        throw ModelError("$path cannot be mapped (is it compressed in the package?): ${why.message}", why)
    }
}
