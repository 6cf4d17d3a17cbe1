// Live listening: windows, pooling, holding, gaps.
package edgecomp.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ListenerTest {
    @Test
    fun `windows are slices of the stream however it is cut`() {
        val random = Random(7)
        repeat(200) {
            val samples = 1 + random.nextInt(300)
            val hop = 1 + random.nextInt(samples)
            val wave = noise(random, random.nextInt(3_000))
            val windows = Windows(samples, hop)
            val made = chunks(random, wave).flatMap { windows.push(it) }
            assertEquals(if (wave.size < samples) 0 else (wave.size - samples) / hop + 1, made.size)
            made.forEachIndexed { at, window ->
                assertEquals(at.toLong() * hop, window.firstSample)
                assertContentEquals(wave.copyOfRange(at * hop, at * hop + samples), window.samples)
            }
        }
    }

    @Test
    fun `however the stream is cut the same is heard`() {
        val random = Random(8)
        for (rateHz in listOf(16_000, 44_100)) {
            val wave = noise(random, 20_000)
            val listen = { pieces: List<FloatArray> ->
                val listener = Listener(SmallFacts(), rateHz, pool = 3, hold = 2, ask = SmallModel()::run)
                pieces.flatMap { listener.push(it) }.map { Triple(it.firstSample, it.changed, it.outcome.output.probabilities.toList()) }
            }
            val whole = listen(listOf(wave))
            assertTrue(whole.size > 10)
            repeat(10) { assertEquals(whole, listen(chunks(random, wave))) }
        }
    }

    @Test
    fun `an outcome is announced once it has held and only when it differs`() {
        val script = listOf(0.9f, 0.9f, 0.1f, 0.9f, 0.9f, 0.1f, 0.1f, 0.1f, 0.6f, 0.6f)
        var at = 0
        val facts = SmallFacts(samples = 2)
        val listener = Listener(facts, 16_000, pool = 1, hold = 2) {
            val yes = script[at++]
            Output(floatArrayOf(yes, 1 - yes), minOf(yes, 1 - yes))
        }
        val heard = listener.push(FloatArray(script.size + 1))
        val words = heard.map { (it.outcome as? Answer)?.label ?: "ask" }
        assertEquals(listOf("yes", "yes", "no", "yes", "yes", "no", "no", "no", "ask", "ask"), words)
        assertEquals(listOf(1, 6, 9), heard.indices.filter { heard[it].changed })
    }

    @Test
    fun `no window spans a gap and everything but the announcement begins anew`() {
        val facts = SmallFacts(samples = 4)
        val seen = ArrayList<List<Float>>()
        val listener = Listener(facts, 16_000, pool = 3) {
            seen += it.toList()
            Output(floatArrayOf(1f, 0f), 0f)
        }
        assertEquals(listOf(true), listener.push(floatArrayOf(1f, 2f, 3f, 4f, 5f)).map { it.changed })
        listener.gap()
        val after = listener.push(floatArrayOf(11f, 12f, 13f, 14f))
        assertEquals(listOf(listOf(1f, 2f, 3f, 4f), listOf(11f, 12f, 13f, 14f)), seen)
        assertEquals(0L, after.single().firstSample)
        assertEquals(false, after.single().changed)
    }

    @Test
    fun `the pool is the mean of the last windows`() {
        val one = Output(floatArrayOf(0.2f, 0.8f), 0.1f)
        val other = Output(floatArrayOf(0.4f, 0.6f), 0.3f)
        val pooled = mean(listOf(one, other))
        assertContentEquals(floatArrayOf(((0.2f.toDouble() + 0.4f) / 2).toFloat(), ((0.8f.toDouble() + 0.6f) / 2).toFloat()), pooled.probabilities)
        assertEquals(((0.1f.toDouble() + 0.3f) / 2).toFloat(), pooled.uncertainty)
        assertFailsWith<IllegalArgumentException> { mean(emptyList()) }
    }
}
