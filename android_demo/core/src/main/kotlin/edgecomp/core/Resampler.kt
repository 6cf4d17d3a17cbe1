// Change the sample rate: a windowed-sinc low-pass in polyphase form, the same in a stream as on a whole recording.
package edgecomp.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.sin
import kotlin.math.sqrt

/** The rates that are taken, in Hz. */
val RATES_HZ = 4_000..384_000

/** Share of half the lower rate that passes; fitted, like [HALF] and [BETA], to the impulse response of soxr's VHQ. */
private const val CUTOFF = 0.9556642

/** Samples of the lower rate on each side of the filter's centre. */
private const val HALF = 133.25

/** Kaiser's parameter. */
private const val BETA = 18.43353

/** Most phases of the filter: every pair of 8, 11.025, 12, 16, 22.05, 24, 32, 44.1, 48 and 96 kHz needs fewer. */
private const val MOST_PHASES = 1_280

/** Change the rate of a whole recording. Raises [AudioError] for rates that are not taken. */
fun resample(wave: FloatArray, sourceHz: Int, targetHz: Int): FloatArray {
    if (sourceHz == targetHz) return wave
    val resampler = Resampler(sourceHz, targetHz)
    return resampler.push(wave) + resampler.finish()
}

/** How many samples [count] samples become. */
fun resampledCount(count: Long, sourceHz: Int, targetHz: Int): Long = (2 * count * targetHz + sourceHz) / (2L * sourceHz)

/**
 * A stream's rate changed; however it is cut, the same bits come out.
 *
 * source: rule 3 of docs/embedding.md
 */
class Resampler(private val sourceHz: Int, private val targetHz: Int) {
    private val filter = if (sourceHz == targetHz) null else polyphase(sourceHz, targetHz)
    private var kept = FloatArray(0)

    /** The place in the source of the first sample kept. */
    private var keptFrom = 0L
    private var taken = 0L
    private var given = 0L

    /** Take any number of samples; return those of the target that they complete. */
    fun push(chunk: FloatArray): FloatArray {
        if (filter == null) return chunk
        kept += chunk
        taken += chunk.size
        // y[j] needs the source up to b + K + 1, with b = j · M / L
        val made = filled(filter) { (it * filter.step) / filter.phases + filter.reach + 1 < taken }
        val needed = (given * filter.step) / filter.phases - filter.reach
        if (needed > keptFrom) {
            val gone = minOf(needed - keptFrom, kept.size.toLong()).toInt()
            kept = kept.copyOfRange(gone, kept.size)
            keptFrom += gone
        }
        return made
    }

    /** Return the samples that are still due, with silence after the end. */
    fun finish(): FloatArray {
        if (filter == null) return FloatArray(0)
        val due = resampledCount(taken, sourceHz, targetHz)
        return filled(filter) { it < due }
    }

    private fun filled(filter: Polyphase, goesOn: (Long) -> Boolean): FloatArray {
        var end = given
        while (goesOn(end)) end++
        return FloatArray((end - given).toInt()) { one(filter, given + it) }.also { given = end }
    }

    private fun one(filter: Polyphase, at: Long): Float {
        val phase = ((at * filter.step) % filter.phases).toInt()
        val first = (at * filter.step) / filter.phases - filter.reach
        val taps = filter.table[phase]
        var sum = 0.0
        for (k in taps.indices) {
            val place = first + k - keptFrom
            if (place >= 0 && place < kept.size) sum += taps[k] * kept[place.toInt()]
        }
        return sum.toFloat()
    }
}

/** phases: L; step: M; reach: K; table: (L, 2K + 2) */
private class Polyphase(val phases: Long, val step: Long, val reach: Int, val table: Array<DoubleArray>)

private fun polyphase(sourceHz: Int, targetHz: Int): Polyphase {
    val common = gcd(sourceHz, targetHz)
    val phases = targetHz / common
    if (sourceHz !in RATES_HZ || targetHz !in RATES_HZ || phases > MOST_PHASES) {
        throw AudioError("from $sourceHz to $targetHz Hz cannot be resampled; record at 16000, 44100 or 48000 Hz")
    }
    val low = minOf(sourceHz, targetHz).toDouble()
    val half = HALF * sourceHz / low
    val reach = floor(half).toInt()
    val cutoff = CUTOFF * low / sourceHz
    val table = Array(phases) { p ->
        DoubleArray(2 * reach + 2) { k -> tap(k - reach - p.toDouble() / phases, half, cutoff) }
    }
    return Polyphase(phases.toLong(), (sourceHz / common).toLong(), reach, table)
}

private fun tap(distance: Double, half: Double, cutoff: Double): Double {
    if (abs(distance) > half) return 0.0
    val share = distance / half
    val window = bessel(BETA * sqrt(1 - share * share)) / bessel(BETA)
    val angle = PI * cutoff * distance
    return cutoff * (if (angle == 0.0) 1.0 else sin(angle) / angle) * window
}

/** The modified Bessel function of order 0, by its power series: all terms are positive, so none cancels another. */
private fun bessel(x: Double): Double {
    var term = 1.0
    var sum = 1.0
    var k = 1
    while (term > sum * 1e-17) {
        term *= (x / (2 * k)) * (x / (2 * k))
        sum += term
        k++
    }
    return sum
}

private fun gcd(a: Int, b: Int): Int = if (b == 0) a else gcd(b, a % b)
