// WAV files: every coding that is read, and damage that is refused.
package edgecomp.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class WavTest {
    private fun wav(coding: Int, bits: Int, channels: Int, data: ByteArray): ByteArray {
        val file = ByteBuffer.allocate(44 + data.size).order(ByteOrder.LITTLE_ENDIAN)
        file.put("RIFF".toByteArray()).putInt(36 + data.size).put("WAVEfmt ".toByteArray()).putInt(16)
        file.putShort(coding.toShort()).putShort(channels.toShort()).putInt(16_000)
        file.putInt(16_000 * channels * bits / 8).putShort((channels * bits / 8).toShort()).putShort(bits.toShort())
        file.put("data".toByteArray()).putInt(data.size).put(data)
        return file.array()
    }

    private fun bytes(vararg values: Int) = ByteArray(values.size) { values[it].toByte() }

    @Test
    fun `every coding becomes the same floats`() {
        val expected = floatArrayOf(0.5f, -1f)
        val codings = listOf(
            wav(1, 8, 1, bytes(192, 0)),
            wav(1, 16, 1, bytes(0, 0x40, 0, 0x80)),
            wav(1, 24, 1, bytes(0, 0, 0x40, 0, 0, 0x80)),
            wav(1, 32, 1, bytes(0, 0, 0, 0x40, 0, 0, 0, 0x80)),
            wav(3, 32, 1, ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putFloat(0.5f).putFloat(-1f).array()),
        )
        for (file in codings) assertContentEquals(expected, readWav(file).samples)
        assertEquals(16_000, readWav(codings[0]).rateHz)
    }

    @Test
    fun `several channels become their mean`() {
        assertContentEquals(floatArrayOf(-0.25f), readWav(wav(1, 16, 2, bytes(0, 0x40, 0, 0x80))).samples)
    }

    @Test
    fun `what is cut off or of another coding is refused`() {
        val whole = wav(1, 16, 1, bytes(0, 0x40, 0, 0x80))
        for (length in 0 until whole.size) assertFailsWith<AudioError>("$length bytes") { readWav(whole.copyOf(length)) }
        assertFailsWith<AudioError> { readWav(wav(2, 4, 1, bytes(0, 0))) }
        assertFailsWith<AudioError> { readWav(wav(1, 16, 0, bytes(0, 0))) }
        assertFailsWith<AudioError> { readRaw(ByteArray(7), 2) }
    }

    @Test
    fun `no damage ends in anything but a message`() {
        val random = Random(11)
        val whole = wav(1, 16, 2, ByteArray(64))
        repeat(20_000) {
            val file = whole.copyOf()
            repeat(1 + random.nextInt(4)) { file[random.nextInt(file.size)] = random.nextInt().toByte() }
            try {
                readWav(file)
            } catch (why: AudioError) {
                assertEquals(false, why.message.isNullOrEmpty())
            }
        }
    }
}
