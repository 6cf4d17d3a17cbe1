// Crop and pad.
package edgecomp.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class FitTest {
    @Test
    fun `a shorter recording stands in the middle, an odd zero behind it`() {
        for (how in Fit.values()) {
            assertContentEquals(floatArrayOf(0f, 1f, 2f, 0f, 0f), fit(floatArrayOf(1f, 2f), 5, how))
            assertContentEquals(floatArrayOf(0f, 1f, 2f, 0f), fit(floatArrayOf(1f, 2f), 4, how))
        }
    }

    @Test
    fun `each way takes its own part`() {
        val wave = floatArrayOf(0f, 0f, 3f, -4f, 1f, 0f, 0f)
        assertContentEquals(floatArrayOf(3f, -4f), fit(wave, 2, Fit.LOUDEST))
        assertContentEquals(floatArrayOf(3f, -4f), fit(wave, 2, Fit.CENTRE))
        assertContentEquals(floatArrayOf(0f, 0f), fit(wave, 2, Fit.START))
        assertContentEquals(floatArrayOf(0f, 3f, -4f, 1f), fit(wave, 4, Fit.LOUDEST).also { assertEquals(4, it.size) })
    }

    @Test
    fun `the first of equally loud windows is taken`() {
        assertContentEquals(floatArrayOf(1f, 0f), fit(floatArrayOf(1f, 0f, 0f, 1f), 2, Fit.LOUDEST))
        assertContentEquals(floatArrayOf(0f, 0f), fit(FloatArray(9), 2, Fit.LOUDEST))
    }

    @Test
    fun `the loudest window is at least as loud as every other`() {
        val random = Random(1)
        repeat(100) {
            val wave = noise(random, 20 + random.nextInt(400))
            val samples = 1 + random.nextInt(wave.size)
            val energy = { part: FloatArray -> part.sumOf { it.toDouble() * it } }
            val found = energy(fit(wave, samples, Fit.LOUDEST))
            for (first in 0..wave.size - samples) assertTrue(energy(wave.copyOfRange(first, first + samples)) <= found + 1e-9)
        }
    }
}
