// The microphone: at the model's rate where the phone can, otherwise at one that the core resamples.
package edgecomp.demo

import android.media.AudioFormat
import android.media.AudioRecord
import android.media.MediaRecorder

/** The microphone cannot be used, and why; the text is for a person. */
class MicrophoneError(what: String) : Exception(what)

/** An open microphone: mono, 16 bits, without the phone's own automatic gain where it has such a source. */
class Microphone private constructor(private val record: AudioRecord, val rateHz: Int) : AutoCloseable {
    private val shorts = ShortArray(rateHz / CHUNKS_A_SECOND)

    fun start() {
        try {
            record.startRecording()
        } catch (why: IllegalStateException) {
            throw MicrophoneError("${why.message}")
        }
        // Without this check another app that holds the microphone would look like silence.
        if (record.recordingState != AudioRecord.RECORDSTATE_RECORDING) throw MicrophoneError("another app is using it")
    }

    /** Fill a chunk, blocking; return how many samples came. */
    fun read(into: FloatArray): Int {
        val count = record.read(shorts, 0, minOf(shorts.size, into.size))
        if (count < 0) throw MicrophoneError("error $count while recording")
        for (at in 0 until count) into[at] = shorts[at] / 32768f
        return count
    }

    val chunkSamples: Int get() = shorts.size

    override fun close() = record.release()

    companion object {
        private const val CHUNKS_A_SECOND = 50

        /** Every phone records at 44.1 kHz; nearly all at 48 kHz, which most do natively. */
        private val OTHER_RATES_HZ = listOf(48_000, 44_100)

        /** Open it at the first rate that this phone has. Raises [MicrophoneError]; the permission must have been given. */
        fun open(wantedHz: Int): Microphone {
            for (rateHz in listOf(wantedHz) + OTHER_RATES_HZ) {
                val record = openAt(rateHz) ?: continue
                if (record.state == AudioRecord.STATE_INITIALIZED) return Microphone(record, rateHz)
                record.release()
            }
            throw MicrophoneError("this phone opens it at none of $wantedHz, ${OTHER_RATES_HZ.joinToString()} Hz")
        }

        private fun openAt(rateHz: Int): AudioRecord? {
            val least = AudioRecord.getMinBufferSize(rateHz, AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT)
            if (least <= 0) return null
            val bytes = maxOf(least, rateHz * 2) // a second, so that a busy phone loses nothing before the ring
            return try {
                AudioRecord(
                    MediaRecorder.AudioSource.VOICE_RECOGNITION,
                    rateHz,
                    AudioFormat.CHANNEL_IN_MONO,
                    AudioFormat.ENCODING_PCM_16BIT,
                    bytes,
                )
            } catch (why: IllegalArgumentException) {
                null
            } catch (why: SecurityException) {
                throw MicrophoneError("it is not allowed for this app")
            }
        }
    }
}
