// WAV files as edgecomp reads them: PCM of 8 to 32 bits or 32-bit floats, several channels averaged.
package edgecomp.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** A mono recording; full scale is −1 to 1. */
class Wave(val samples: FloatArray, val rateHz: Int)

private const val PCM = 1
private const val FLOAT = 3
private const val EXTENSIBLE = 0xFFFE

/** Read a WAV file's bytes. Raises [AudioError] where it is none, is cut off, or holds another coding. */
fun readWav(bytes: ByteArray): Wave {
    val file = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
    if (bytes.size < 12 || tag(bytes, 0) != "RIFF" || tag(bytes, 8) != "WAVE") throw AudioError("not a WAV file")
    var shape: Shape? = null
    var at = 12L
    while (at + 8 <= bytes.size) {
        val name = tag(bytes, at.toInt())
        val length = file.getInt(at.toInt() + 4).toLong() and 0xFFFFFFFFL
        val body = at + 8
        if (length > bytes.size - body) throw AudioError("cut off: '$name' needs $length bytes, ${bytes.size - body} are there")
        if (name == "fmt ") shape = shape(file, body.toInt(), length)
        if (name == "data") return mono(file, body.toInt(), length.toInt(), shape ?: throw AudioError("no format before the sound"))
        at = body + length + (length and 1)
    }
    throw AudioError("it holds no sound")
}

/** Read little-endian 32-bit floats without a header, exactly [samples] of them. Raises [AudioError]. */
fun readRaw(bytes: ByteArray, samples: Int): FloatArray {
    if (bytes.size != 4 * samples) throw AudioError("${bytes.size} bytes, and $samples samples take ${4 * samples}")
    return FloatArray(samples).also { ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(it) }
}

private class Shape(val coding: Int, val channels: Int, val rateHz: Int, val bits: Int)

private fun shape(file: ByteBuffer, at: Int, length: Long): Shape {
    if (length < 16) throw AudioError("its format takes $length bytes, and needs 16")
    var coding = file.getShort(at).toInt() and 0xFFFF
    if (coding == EXTENSIBLE && length >= 26) coding = file.getShort(at + 24).toInt() and 0xFFFF
    val shape = Shape(coding, file.getShort(at + 2).toInt(), file.getInt(at + 4), file.getShort(at + 14).toInt())
    val isRead = (coding == PCM && shape.bits in listOf(8, 16, 24, 32)) || (coding == FLOAT && shape.bits == 32)
    if (!isRead || shape.channels < 1) {
        throw AudioError("coding $coding with ${shape.bits} bits, ${shape.channels} channels; PCM and 32-bit floats are read")
    }
    return shape
}

private fun mono(file: ByteBuffer, from: Int, bytes: Int, shape: Shape): Wave {
    val width = shape.bits / 8
    val frames = bytes / (width * shape.channels)
    val samples = FloatArray(frames) { frame ->
        var sum = 0f
        for (channel in 0 until shape.channels) sum += sample(file, from + (frame * shape.channels + channel) * width, shape)
        sum / shape.channels
    }
    return Wave(samples, shape.rateHz)
}

private fun sample(file: ByteBuffer, at: Int, shape: Shape): Float = when {
    shape.coding == FLOAT -> file.getFloat(at)
    shape.bits == 8 -> ((file.get(at).toInt() and 0xFF) - 128) / 128f
    shape.bits == 16 -> file.getShort(at) / 32768f
    shape.bits == 24 -> ((file.getShort(at).toInt() and 0xFFFF) or (file.get(at + 2).toInt() shl 16)) / 8388608f
    else -> file.getInt(at) / 2147483648f
}

private fun tag(bytes: ByteArray, at: Int) = String(bytes, at, 4, Charsets.ISO_8859_1)
