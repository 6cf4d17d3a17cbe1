// The ring: random writes and reads against a plain list, and a slow reader on a thread of its own.
package edgecomp.core

import kotlin.concurrent.thread
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class RingBufferTest {
    @Test
    fun `random writes and reads lose nothing that is not counted`() {
        val random = Random(5)
        repeat(200) {
            val ring = RingBuffer(1 + random.nextInt(60))
            var written = 0L
            var read = 0L
            var expected = 0L
            repeat(100) {
                if (random.nextBoolean()) {
                    val chunk = FloatArray(random.nextInt(100)) { (written + it).toFloat() } // each sample is its own number
                    val count = random.nextInt(chunk.size + 1)
                    ring.write(chunk, count)
                    written += count
                } else {
                    val chunk = ring.read(1 + random.nextInt(100))
                    val gap = chunk.first - expected
                    assertTrue(gap >= 0)
                    assertContentEquals(FloatArray(chunk.samples.size) { (chunk.first + it).toFloat() }, chunk.samples)
                    read += chunk.samples.size
                    expected = chunk.first + chunk.samples.size
                }
                assertEquals(written, ring.written)
                assertEquals(written, read + ring.dropped + ring.waiting)
                assertTrue(ring.waiting <= ring.capacity)
            }
        }
    }

    @Test
    fun `the oldest samples go first`() {
        val ring = RingBuffer(3)
        ring.write(floatArrayOf(1f, 2f, 3f, 4f, 5f))
        val chunk = ring.read()
        assertEquals(2, chunk.first)
        assertContentEquals(floatArrayOf(3f, 4f, 5f), chunk.samples)
        assertEquals(2, ring.dropped)
    }

    @Test
    fun `a slow reader on another thread gets every sample or its loss`() {
        for (pauseUs in listOf(0L, 300L)) {
            val ring = RingBuffer(1_000)
            val writer = thread {
                val random = Random(6)
                var next = 0
                while (next < 200_000) {
                    val chunk = FloatArray(1 + random.nextInt(400)) { (next + it).toFloat() }
                    ring.write(chunk)
                    next += chunk.size
                }
                ring.close()
            }
            var read = 0L
            var gaps = 0L
            var expected = 0L
            while (!ring.isFinished) {
                val chunk = ring.read(most = 256, waitMs = 1_000)
                gaps += chunk.first - expected
                assertContentEquals(FloatArray(chunk.samples.size) { (chunk.first + it).toFloat() }, chunk.samples)
                read += chunk.samples.size
                expected = chunk.first + chunk.samples.size
                if (pauseUs > 0) Thread.sleep(0, (pauseUs * 1_000).toInt())
            }
            writer.join()
            assertEquals(ring.written, read + ring.dropped)
            assertEquals(ring.dropped, gaps)
            if (pauseUs > 0) assertTrue(ring.dropped > 0, "the reader was not slow enough to test anything")
        }
    }

    @Test
    fun `a reader that waits is woken by the end`() {
        val ring = RingBuffer(10)
        val closer = thread {
            Thread.sleep(20)
            ring.close()
        }
        assertEquals(0, ring.read(waitMs = 10_000).samples.size)
        assertTrue(ring.isFinished)
        closer.join()
    }
}
