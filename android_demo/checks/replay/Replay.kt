// Drives a generated module on the JVM for tests/test_embed_android.py: the shipped Kotlin, the model file, real clips.
package edgecomp.replay

import edgecomp.core.Listener
import edgecomp.core.Model
import edgecomp.core.ModelError
import edgecomp.core.Recording
import edgecomp.core.answer
import edgecomp.core.readRaw
import edgecomp.core.readWav
import edgecomp.core.resample
import edgecomp.core.result
import edgecomp.core.selfTest
import edgecomp.core.sha256
import edgecomp.core.toJson
import edgecomp.core.toLine
import edgecomp.model.InUse
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.random.Random
import kotlin.system.exitProcess

/** VERB ASSETS ARGUMENTS…; one JSON line for each answer; what a user would read goes to stderr, with exit code 3. */
fun main(arguments: Array<String>) {
    val assets = File(arguments[1])
    try {
        if (arguments[0] == "resample") return resampled(arguments[2].toInt(), arguments[3].toInt(), File(arguments[4]), File(arguments[5]))
        if (arguments[0] == "load") return loaded(File(arguments[2]))
        InUse.loadFile(File(assets, InUse.modelFile), InUse.modelSha256, threads = 1).use { model ->
            when (arguments[0]) {
                "selftest" -> tested(model, assets)
                "answers" -> answers(model, File(arguments[2]))
                "listen" -> listened(model, File(arguments[2]), arguments[3].toInt())
            }
        }
    } catch (why: ModelError) {
        System.err.println(why.message)
        exitProcess(3)
    }
}

/** Load every file of a folder as if its hash were the stated one, and ask about silence: what was said, or why it was refused. */
private fun loaded(folder: File) {
    for (file in folder.listFiles()!!.sortedBy { it.name }) {
        val said = try {
            InUse.loadFile(file, sha256(ByteBuffer.wrap(file.readBytes())), threads = 1).use { it.run(FloatArray(InUse.samples)) }
            null
        } catch (why: ModelError) {
            why.message
        }
        println(toJson(mapOf("file" to file.name, "refused" to said)))
    }
}

private fun tested(model: Model, assets: File) {
    val test = selfTest(InUse, model) { File(assets, "golden/$it").readBytes() }
    println(toJson(mapOf("passed" to test.passed, "worst" to test.worst, "tolerance" to test.tolerance, "clips" to test.clips, "runtime" to model.runtime)))
}

/** Answer about every WAV file of a folder, whole and in pieces of random sizes. */
private fun answers(model: Model, folder: File) {
    val random = Random(1)
    for (file in folder.listFiles()!!.filter { it.extension == "wav" }.sortedBy { it.name }) {
        val wave = readWav(file.readBytes())
        val whole = model.answer(InUse, wave.samples, wave.rateHz)
        val recording = Recording(InUse, wave.rateHz)
        pieces(random, wave.samples).forEach { recording.push(it) }
        val pieced = InUse.rule.outcome(model.run(recording.finish()))
        val line = whole.result(InUse, 0).toLine()
        println(toJson(mapOf("clip" to file.name, "same" to (line == pieced.result(InUse, 0).toLine()), "line" to line)))
    }
}

/** Listen to a stream of raw floats in pieces of random sizes, on the defaults. */
private fun listened(model: Model, file: File, rateHz: Int) {
    val listener = Listener(InUse, rateHz, ask = model::run)
    val bytes = file.readBytes()
    for (piece in pieces(Random(2), readRaw(bytes, bytes.size / 4))) {
        for (heard in listener.push(piece)) {
            println(toJson(mapOf("first" to heard.firstSample, "changed" to heard.changed, "line" to heard.outcome.result(InUse, 0).toLine())))
        }
    }
}

private fun resampled(sourceHz: Int, targetHz: Int, from: File, to: File) {
    val bytes = from.readBytes()
    val made = resample(readRaw(bytes, bytes.size / 4), sourceHz, targetHz)
    to.writeBytes(ByteBuffer.allocate(4 * made.size).order(ByteOrder.LITTLE_ENDIAN).apply { made.forEach { putFloat(it) } }.array())
}

private fun pieces(random: Random, wave: FloatArray): Sequence<FloatArray> = sequence {
    var at = 0
    while (at < wave.size) {
        val end = minOf(wave.size, at + 1 + random.nextInt(4_000))
        yield(wave.copyOfRange(at, end))
        at = end
    }
}
