// A recording in pieces equals the whole.
package edgecomp.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertFailsWith

class RecordingTest {
    @Test
    fun `however a recording is cut the model hears the same bits`() {
        val random = Random(4)
        for (how in Fit.values()) {
            for (rateHz in listOf(16_000, 16_000, 8_000, 44_100)) {
                repeat(20) {
                    val facts = SmallFacts(samples = 1 + random.nextInt(900), fit = how)
                    val wave = noise(random, 1 + random.nextInt(3_000))
                    shape(random, wave)
                    val recording = Recording(facts, rateHz)
                    chunks(random, wave).forEach { recording.push(it) }
                    val expected = fit(resample(wave, rateHz, facts.sampleRateHz), facts.samples, how)
                    assertContentEquals(expected, recording.finish(), "$how, ${facts.samples} of ${wave.size} at $rateHz Hz")
                }
            }
        }
    }

    /** Silence, plateaus and rising or falling loudness: where the first of equals and the copying out matter. */
    private fun shape(random: Random, wave: FloatArray) {
        when (random.nextInt(5)) {
            0 -> wave.fill(0f)
            1 -> wave.fill(0.5f)
            2 -> for (at in wave.indices) wave[at] *= at.toFloat() / wave.size
            3 -> for (at in wave.indices) wave[at] *= 1 - at.toFloat() / wave.size
        }
    }

    @Test
    fun `a chunk that cannot be used changes nothing`() {
        val facts = SmallFacts(samples = 4)
        val recording = Recording(facts, 16_000)
        recording.push(floatArrayOf(1f, 2f))
        assertFailsWith<AudioError> { recording.push(floatArrayOf(3f, Float.NaN)) }
        assertFailsWith<AudioError> { recording.push(floatArrayOf(Float.NEGATIVE_INFINITY)) }
        recording.push(floatArrayOf(3f))
        assertContentEquals(floatArrayOf(1f, 2f, 3f, 0f), recording.finish())
    }

    @Test
    fun `an empty recording is refused and an ended one takes no more`() {
        assertFailsWith<AudioError> { Recording(SmallFacts(), 16_000).finish() }
        val ended = Recording(SmallFacts(), 16_000).also { it.push(floatArrayOf(1f)) }
        ended.finish()
        assertFailsWith<IllegalStateException> { ended.push(floatArrayOf(1f)) }
        assertFailsWith<IllegalStateException> { ended.finish() }
    }

    @Test
    fun `the centre of more than ten minutes is refused`() {
        val recording = Recording(SmallFacts(samples = 8, fit = Fit.CENTRE, sampleRateHz = 4_000), 4_000)
        recording.push(FloatArray(600 * 4_000))
        assertFailsWith<AudioError> { recording.push(FloatArray(1)) }
    }
}
