// Waveforms, chunk sizes and a small bundle for the tests; everything random has a seed.
package edgecomp.core

import kotlin.random.Random

internal fun noise(random: Random, count: Int) = FloatArray(count) { random.nextFloat() * 2 - 1 }

/** Cut a wave into chunks of random sizes, empty ones and very long ones among them. */
internal fun chunks(random: Random, wave: FloatArray): List<FloatArray> {
    val made = ArrayList<FloatArray>()
    var at = 0
    while (at < wave.size) {
        val size = if (random.nextInt(8) == 0) random.nextInt(wave.size + 1) else random.nextInt(700)
        val end = minOf(wave.size, at + size)
        made += wave.copyOfRange(at, end)
        at = end
    }
    return made
}

internal class SmallFacts(
    override val samples: Int = 1_000,
    override val fit: Fit = Fit.LOUDEST,
    override val sampleRateHz: Int = 16_000,
    override val rule: Rule = Rule(listOf("yes", "no"), null, null, 0.3),
    override val goldenSha256: String = "",
) : Facts {
    override val name = "small"
    override val summary = "a bundle for tests"
    override val version = "0123456789ab"
    override val bundleHash = "0123456789ab".padEnd(64, '0')
    override val hopSamples = maxOf(1, samples / 2)
    override val threads = 1
    override val modelFile = "model.onnx"
    override val modelBytes = 1L
    override val modelSha256 = "1".repeat(64)
    override val questions = listOf(
        YesNo("fever", Words("en" to "Fever?", "hi" to "बुख़ार है?")),
        Choice("breathing", Words("und" to "Breathing?"), listOf(Option("easy", Words("en" to "Easy")), Option("hard", Words("en" to "Hard")))),
        Figure("temperature", Words("en" to "Temperature?"), 30.0, 45.0, decimals = 1, isOptional = true),
        Figure("days", Words("en" to "Days?"), 0.0, 365.0, unit = Words("en" to "days")),
    )
}

/** A model whose answer depends on every sample; it counts how often it was asked. */
internal class SmallModel : Model {
    var asked = 0
    override val runtime = "none"
    override val delegate = "cpu"
    override val threads = 1

    override fun run(waveform: FloatArray): Output {
        asked++
        val mean = (waveform.sum() / waveform.size + 1) / 2
        return Output(floatArrayOf(mean, 1 - mean), minOf(mean, 1 - mean))
    }

    override fun close() = Unit
}
