// One recording: a thread that only fetches samples, a ring, and a thread that keeps the model's part of them.
package edgecomp.demo

import edgecomp.core.Level
import edgecomp.core.Recording
import edgecomp.core.RingBuffer
import edgecomp.core.level
import edgecomp.model.InUse
import kotlin.concurrent.thread

/** What a recording tells while it runs; called on the recorder's own threads. */
interface Hearing {
    fun onLevel(level: Level, leftS: Int)

    /** The model's input, and how many samples were lost on the way. */
    fun onDone(waveform: FloatArray, droppedSamples: Long)

    fun onError(what: String)
}

/** Records for [seconds] or until it is stopped; nothing of it is ever written to a file. */
class Recorder(private val seconds: Int, private val hearing: Hearing) {
    @Volatile private var isRunning = true
    @Volatile private var isCancelled = false

    fun start() {
        thread(name = "recorder") {
            try {
                Microphone.open(InUse.sampleRateHz).use { record(it) }
            } catch (why: MicrophoneError) {
                if (!isCancelled) hearing.onError("${why.message}")
            }
        }
    }

    /** End the recording early; what was heard is asked about. */
    fun stop() {
        isRunning = false
    }

    /** End the recording and forget it, as when the screen is left. */
    fun cancel() {
        isCancelled = true
        isRunning = false
    }

    private fun record(microphone: Microphone) {
        val ring = RingBuffer(RING_S * microphone.rateHz)
        val keeper = thread(name = "keeper") { keep(ring, microphone.rateHz) }
        try {
            microphone.start()
            val chunk = FloatArray(microphone.chunkSamples)
            var left = seconds.toLong() * microphone.rateHz
            while (isRunning && left > 0) {
                val count = minOf(microphone.read(chunk).toLong(), left).toInt()
                ring.write(chunk, count)
                left -= count
            }
        } catch (why: MicrophoneError) {
            isCancelled = true
            hearing.onError("${why.message}")
        } finally {
            ring.close()
            keeper.join()
        }
    }

    private fun keep(ring: RingBuffer, rateHz: Int) {
        val recording = Recording(InUse, rateHz)
        while (!ring.isFinished) {
            val chunk = ring.read(most = rateHz / LEVELS_A_SECOND, waitMs = 1_000)
            if (chunk.samples.isEmpty()) continue
            recording.push(chunk.samples)
            val heardS = (chunk.first + chunk.samples.size) / rateHz
            hearing.onLevel(level(chunk.samples), (seconds - heardS).toInt())
        }
        if (isCancelled) return
        if (ring.written == 0L) hearing.onError("it gave no sound") else hearing.onDone(recording.finish(), ring.dropped)
    }

    private companion object {
        /** As long as the other languages' default; rule 6 of docs/embedding.md. */
        const val RING_S = 4
        const val LEVELS_A_SECOND = 10
    }
}
