// Crop or pad a recording to the model's length: the loudest window, the centre or the start.
package edgecomp.core

/** Which part of a longer recording the model hears. */
enum class Fit { LOUDEST, CENTRE, START }

/**
 * Crop or pad to a length; a shorter recording stands in the middle of zeros, an odd one of them behind.
 *
 * source: rule 2 of docs/embedding.md
 */
fun fit(wave: FloatArray, samples: Int, how: Fit): FloatArray {
    require(samples > 0) { "samples is $samples; it must be at least 1" }
    val spare = wave.size - samples
    if (spare <= 0) return FloatArray(samples).also { wave.copyInto(it, -spare / 2) }
    val first = when (how) {
        Fit.LOUDEST -> loudest(wave, samples)
        Fit.CENTRE -> spare / 2
        Fit.START -> 0
    }
    return wave.copyOfRange(first, first + samples)
}

/** Where the window of highest energy begins, the first of equals; one running sum in double. */
private fun loudest(wave: FloatArray, samples: Int): Int {
    val energy = DoubleArray(wave.size + 1)
    for (at in wave.indices) energy[at + 1] = energy[at] + wave[at].toDouble() * wave[at]
    var best = 0
    for (first in 1..wave.size - samples) {
        if (energy[first + samples] - energy[first] > energy[best + samples] - energy[best]) best = first
    }
    return best
}
