// A recording that arrives in pieces: bit for bit the model's input of the whole, however it was cut.
package edgecomp.core

/** Longest recording whose centre is asked for, in seconds after resampling; the other ways need no bound. */
private const val LONGEST_S = 600L

/**
 * Takes a recording chunk by chunk and gives the model's input at its end; used once.
 *
 * source: rule 4 of docs/embedding.md
 */
class Recording(private val facts: Facts, private val rateHz: Int) {
    private val resampler = Resampler(rateHz, facts.sampleRateHz)
    private val part: Part = when (facts.fit) {
        Fit.START -> Start(facts.samples)
        Fit.CENTRE -> Centre(facts.samples)
        Fit.LOUDEST -> Loudest(facts.samples)
    }
    private var taken = 0L
    private var ended = false

    /** Take any number of samples. Raises [AudioError] for what cannot be used; the recording is then as it was. */
    fun push(chunk: FloatArray) {
        check(!ended) { "this recording has ended; start another" }
        requireFinite(chunk)
        val after = resampledCount(taken + chunk.size, rateHz, facts.sampleRateHz)
        if (facts.fit == Fit.CENTRE && after > LONGEST_S * facts.sampleRateHz) {
            throw AudioError("longer than $LONGEST_S s; the centre of such a recording is not asked for")
        }
        taken += chunk.size
        part.push(resampler.push(chunk))
    }

    /** Return the model's input. Raises [AudioError] where nothing was recorded. */
    fun finish(): FloatArray {
        check(!ended) { "this recording has ended; start another" }
        if (taken == 0L) throw AudioError("the recording is empty")
        ended = true
        part.push(resampler.finish())
        return fit(part.rest(), facts.samples, Fit.START)
    }
}

/** What is kept of a recording: at its end the wanted window, or all of it where it is shorter. */
private abstract class Part(protected val samples: Int) {
    abstract fun push(chunk: FloatArray)

    abstract fun rest(): FloatArray
}

private class Start(samples: Int) : Part(samples) {
    private var kept = FloatArray(0)

    override fun push(chunk: FloatArray) {
        kept += chunk.copyOf(minOf(chunk.size, samples - kept.size))
    }

    override fun rest() = kept
}

private class Centre(samples: Int) : Part(samples) {
    private var kept = FloatArray(0)
    private var count = 0L
    private var keptFrom = 0L

    override fun push(chunk: FloatArray) {
        kept += chunk
        count += chunk.size
        val first = maxOf(0, (count - samples) / 2)
        kept = kept.copyOfRange((first - keptFrom).toInt(), kept.size)
        keptFrom = first
    }

    override fun rest(): FloatArray = if (kept.size > samples) kept.copyOf(samples) else kept
}

/**
 * Keeps two windows of sound and one of energy sums; the best window is copied out only when it is about to be
 * overwritten, so that a rising sound, whose every sample is better than the last, costs no copy each.
 */
private class Loudest(samples: Int) : Part(samples) {
    private val wave = FloatArray(2 * samples)
    private val energy = DoubleArray(samples + 1)
    private var count = 0L
    private var best = 0L
    private var most = Double.NEGATIVE_INFINITY
    private var copy: FloatArray? = null

    override fun push(chunk: FloatArray) {
        for (sample in chunk) take(sample)
    }

    private fun take(sample: Float) {
        if (copy == null && count >= samples && count == best + wave.size) copy = window()
        wave[(count % wave.size).toInt()] = sample
        val before = energy[(count % energy.size).toInt()]
        count++
        energy[(count % energy.size).toInt()] = before + sample.toDouble() * sample
        if (count < samples) return
        val first = count - samples
        val here = energy[(count % energy.size).toInt()] - energy[(first % energy.size).toInt()]
        if (here > most) {
            most = here
            best = first
            copy = null
        }
    }

    private fun window() = FloatArray(samples) { wave[((best + it) % wave.size).toInt()] }

    override fun rest(): FloatArray =
        if (count < samples) FloatArray(count.toInt()) { wave[it] } else copy ?: window()
}
