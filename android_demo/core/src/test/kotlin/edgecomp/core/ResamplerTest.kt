// Change of rate: what passes, what is kept out, and that a stream's cuts leave no trace.
package edgecomp.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.sin
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame
import kotlin.test.assertTrue

class ResamplerTest {
    private val pairs = listOf(48_000 to 16_000, 44_100 to 16_000, 8_000 to 16_000, 16_000 to 8_000, 22_050 to 16_000)

    @Test
    fun `however a stream is cut the same bits come out`() {
        val random = Random(2)
        for ((source, target) in pairs) {
            repeat(4) {
                val wave = noise(random, random.nextInt(6_000))
                val stream = Resampler(source, target)
                val pieces = chunks(random, wave).map { stream.push(it) } + listOf(stream.finish())
                val streamed = pieces.flatMap { it.asList() }.toFloatArray()
                assertContentEquals(resample(wave, source, target), streamed, "$source to $target, ${wave.size} samples")
                assertEquals(resampledCount(wave.size.toLong(), source, target), streamed.size.toLong())
            }
        }
    }

    @Test
    fun `a tone below the limit keeps its shape and its place`() {
        for ((source, target) in pairs) {
            val count = source / 2
            val hz = 0.4 * minOf(source, target)
            val tone = { rate: Int, at: Int -> sin(2 * PI * hz * at / rate).toFloat() }
            val made = resample(FloatArray(count) { tone(source, it) }, source, target)
            for (at in made.size / 4 until 3 * made.size / 4) assertTrue(abs(made[at] - tone(target, at)) < 1e-4, "$source to $target at $at")
        }
    }

    @Test
    fun `a tone above half the lower rate is kept out`() {
        val made = resample(FloatArray(24_000) { sin(2 * PI * 9_000 * it / 48_000.0).toFloat() }, 48_000, 16_000)
        assertTrue(made.slice(2_000..6_000).maxOf { abs(it) } < 1e-5)
    }

    @Test
    fun `equal rates change nothing`() {
        val wave = noise(Random(3), 100)
        assertSame(wave, resample(wave, 16_000, 16_000))
    }

    @Test
    fun `rates that cannot be had are refused`() {
        for ((source, target) in listOf(3_999 to 16_000, 16_000 to 400_000, 16_001 to 16_000, 0 to 8_000)) {
            assertFailsWith<AudioError> { Resampler(source, target) }
        }
    }
}
