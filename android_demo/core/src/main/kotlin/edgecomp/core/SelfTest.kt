// Golden clips replayed on the device: does this phone answer as the machine did that made the bundle?
package edgecomp.core

import java.nio.ByteBuffer
import java.security.MessageDigest
import kotlin.math.abs

/** A real clip that ships with the model, and what the model file answered to it when the bundle was made. */
class Golden(val file: String, val sha256: String, val probabilities: FloatArray, val uncertainty: Float)

/** The golden clips of a bundle, and how far a device may be from their answers. */
class GoldenClips(val tolerance: Double, val clips: List<Golden>)

/** The worst difference of a probability or an uncertainty over all golden clips; one that is no number fails. */
class SelfTest(val worst: Double, val tolerance: Double, val clips: Int) {
    val passed: Boolean get() = worst <= tolerance
}

/**
 * Replay every golden clip, as stored.
 *
 * source: rules 7 and 8 of docs/embedding.md
 * @param open reads a file of the golden folder by its name
 * raises: [ModelError] where a file is missing or was changed, or there is nothing to replay
 */
fun selfTest(facts: Facts, model: Model, open: (String) -> ByteArray): SelfTest {
    val golden = readGolden(facts, checked("golden.json", open, facts.goldenSha256))
    var worst = 0.0
    for (clip in golden.clips) {
        val apart = difference(model.run(waveform(facts, clip, open)), clip)
        worst = if (worst.isNaN() || apart.isNaN()) Double.NaN else maxOf(worst, apart)
    }
    return SelfTest(worst, golden.tolerance, golden.clips.size)
}

/** The golden clips' waveforms, as the model takes them. Raises [ModelError] as [selfTest] does. */
fun goldenWaves(facts: Facts, open: (String) -> ByteArray): List<FloatArray> =
    readGolden(facts, checked("golden.json", open, facts.goldenSha256)).clips.map { waveform(facts, it, open) }

private fun waveform(facts: Facts, clip: Golden, open: (String) -> ByteArray): FloatArray = try {
    readRaw(checked(clip.file, open, clip.sha256), facts.samples)
} catch (why: AudioError) {
    throw ModelError("golden clip ${clip.file}: ${why.message}", why)
}

/** Read golden.json. Raises [ModelError] where it is not what a bundle writes. */
fun readGolden(facts: Facts, content: ByteArray): GoldenClips {
    try {
        val told = readJson(String(content, Charsets.UTF_8)) as Map<*, *>
        val clips = (told["clips"] as List<*>).map { one ->
            val clip = one as Map<*, *>
            val probabilities = (clip["probabilities"] as List<*>).map { (it as Number).toFloat() }.toFloatArray()
            val uncertainty = (clip["uncertainty"] as Number).toFloat()
            require(probabilities.size == facts.labels.size) { "${probabilities.size} probabilities for ${facts.labels.size} labels" }
            require((probabilities + uncertainty).all { it.isFinite() }) { "a figure is beyond every number" }
            Golden(clip["file"] as String, clip["sha256"] as String, probabilities, uncertainty)
        }
        val tolerance = (told["tolerance"] as Number).toDouble()
        require(clips.isNotEmpty()) { "no clips" }
        require(tolerance.isFinite()) { "its tolerance is beyond every number" }
        return GoldenClips(tolerance, clips)
    } catch (why: RuntimeException) { // a damaged file meets casts, nulls and our own reader alike
        throw ModelError("golden.json cannot be read: ${why.message}", why)
    }
}

/** The SHA-256 of some bytes, hex. A mapped file is read where it lies, without a copy on the heap. */
fun sha256(bytes: ByteBuffer): String =
    MessageDigest.getInstance("SHA-256").apply { update(bytes.duplicate()) }.digest().joinToString("") { "%02x".format(it) }

private fun checked(file: String, open: (String) -> ByteArray, sha256: String): ByteArray {
    val bytes = try {
        open(file)
    } catch (why: java.io.IOException) {
        throw ModelError("$file cannot be read: ${why.message}", why)
    }
    if (sha256(ByteBuffer.wrap(bytes)) != sha256) throw ModelError("$file was changed after the bundle was embedded")
    return bytes
}

private fun difference(output: Output, golden: Golden): Double {
    if (output.probabilities.size != golden.probabilities.size) return Double.NaN
    var worst = abs(output.uncertainty.toDouble() - golden.uncertainty)
    for (at in golden.probabilities.indices) {
        val apart = abs(output.probabilities[at].toDouble() - golden.probabilities[at])
        worst = if (worst.isNaN() || apart.isNaN()) Double.NaN else maxOf(worst, apart)
    }
    return worst
}
