// Samples between the microphone's thread and the model's: nothing is lost without being counted and told.
package edgecomp.core

import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/** Some samples in a row; a reader sees a gap where [first] is not where its last read ended. */
class Chunk(val first: Long, val samples: FloatArray)

/**
 * A ring of the last [capacity] samples for one writer, who never waits, and one reader.
 *
 * Where the reader is late, the oldest samples go and are counted: at every moment [written] = samples read +
 * [dropped] + [waiting].
 * source: rule 6 of docs/embedding.md
 */
class RingBuffer(val capacity: Int) {
    private val ring = FloatArray(capacity.also { require(it > 0) { "capacity is $it; it must be at least 1" } })
    private val lock = ReentrantLock()
    private val arrived = lock.newCondition()
    private var end = 0L
    private var taken = 0L
    private var lost = 0L
    private var closed = false

    val written: Long get() = lock.withLock { end }
    val dropped: Long get() = lock.withLock { lost }
    val waiting: Int get() = lock.withLock { (end - taken).toInt() }

    /** Take the first [count] samples of a chunk; never waits for the reader. */
    fun write(chunk: FloatArray, count: Int = chunk.size) {
        require(count in 0..chunk.size) { "$count samples of a chunk of ${chunk.size}" }
        lock.withLock {
            check(!closed) { "the buffer is closed" }
            for (at in maxOf(0, count - capacity) until count) ring[((end + at) % capacity).toInt()] = chunk[at]
            end += count
            val over = maxOf(0, end - taken - capacity)
            taken += over
            lost += over
            arrived.signalAll()
        }
    }

    /** Return up to [most] samples, none where none wait; waits up to [waitMs] for the first, unless it is closed. */
    fun read(most: Int = capacity, waitMs: Long = 0): Chunk = lock.withLock {
        require(most > 0) { "most is $most; it must be at least 1" }
        var leftNs = waitMs * 1_000_000
        while (end == taken && !closed && leftNs > 0) leftNs = arrived.awaitNanos(leftNs)
        val first = taken
        val count = minOf(most.toLong(), end - taken).toInt()
        taken += count
        Chunk(first, FloatArray(count) { ring[((first + it) % capacity).toInt()] })
    }

    /** Say that no more comes, and wake a reader who waits. */
    fun close() = lock.withLock {
        closed = true
        arrived.signalAll()
    }

    /** Whether no more comes and all was read. */
    val isFinished: Boolean get() = lock.withLock { closed && end == taken }
}
