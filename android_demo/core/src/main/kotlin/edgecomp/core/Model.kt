// A model that is loaded, and what every generated bundle class states about itself.
package edgecomp.core

/** A model that is loaded. */
interface Model : AutoCloseable {
    /** The runtime and its version, such as "LiteRT 2.3.0". */
    val runtime: String

    /** What computes: "xnnpack" or "cpu", or what a benchmark asked for instead: "none" or "nnapi". */
    val delegate: String
    val threads: Int

    /** Ask about a waveform of exactly the model's length, at the model's rate. Raises [ModelError] where it cannot be run. */
    fun run(waveform: FloatArray): Output
}

/** A bundle's facts; `edgecomp embed` writes one object of this kind for each version of a bundle. */
interface Facts {
    val name: String
    val summary: String

    /** The first 12 digits of [bundleHash]. */
    val version: String
    val bundleHash: String
    val sampleRateHz: Int
    val samples: Int
    val hopSamples: Int
    val fit: Fit
    val threads: Int
    val rule: Rule
    val modelFile: String
    val modelBytes: Long
    val modelSha256: String
    val goldenSha256: String

    /** What is asked about the person before a recording; the answers are kept beside the result and change nothing in it. */
    val questions: List<Question>

    val labels: List<String> get() = rule.labels
}

/** Ask about a whole recording at any rate. Raises [AudioError] where it is empty or holds what is no number. */
fun Model.answer(facts: Facts, wave: FloatArray, rateHz: Int): Outcome {
    val recording = Recording(facts, rateHz)
    recording.push(wave)
    return facts.rule.outcome(run(recording.finish()))
}

/** The model cannot be used here, and why; the text is for a person. */
class ModelError(what: String, cause: Throwable? = null) : Exception(what, cause)
