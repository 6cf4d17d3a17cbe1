// Golden clips: passed, failed, damaged.
package edgecomp.core

import java.io.FileNotFoundException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class SelfTestTest {
    private val wave = noise(Random(12), 1_000)
    private val clip = ByteBuffer.allocate(4_000).order(ByteOrder.LITTLE_ENDIAN).apply { wave.forEach { putFloat(it) } }.array()
    private val said = SmallModel().run(wave)

    private fun golden(yes: Float, sha256: String = sha256(ByteBuffer.wrap(clip)), tolerance: Double = 0.02) = toJson(
        mapOf(
            "tolerance" to tolerance,
            "clips" to listOf(
                mapOf("file" to "00.f32", "sha256" to sha256, "probabilities" to listOf(yes, 1 - yes), "uncertainty" to said.uncertainty),
            ),
        ),
    ).toByteArray()

    private fun test(json: ByteArray, clip: ByteArray = this.clip, stated: ByteArray = json): SelfTest {
        val files = mapOf("golden.json" to json, "00.f32" to clip)
        val facts = SmallFacts(goldenSha256 = sha256(ByteBuffer.wrap(stated)))
        return selfTest(facts, SmallModel()) { files[it] ?: throw FileNotFoundException(it) }
    }

    @Test
    fun `the same answers pass`() {
        val test = test(golden(said.probabilities[0]))
        assertTrue(test.passed && test.worst < 1e-6 && test.clips == 1)
    }

    @Test
    fun `a difference beyond the tolerance fails and is told`() {
        val test = test(golden(said.probabilities[0] + 0.05f))
        assertFalse(test.passed)
        assertEquals(0.05, test.worst, 1e-6)
    }

    @Test
    fun `a difference that is no number fails`() = assertFalse(SelfTest(Double.NaN, 1.0, 1).passed)

    @Test
    fun `what was changed or is missing is refused`() {
        val whole = golden(said.probabilities[0])
        assertFailsWith<ModelError> { test(whole, clip = clip.copyOf().also { it[5]++ }) }
        assertFailsWith<ModelError> { test(golden(0.5f), stated = whole) }
        assertFailsWith<ModelError> { test(golden(0.5f, sha256(ByteBuffer.wrap(ByteArray(8)))), clip = ByteArray(8)) }
        assertFailsWith<ModelError> { selfTest(SmallFacts(), SmallModel()) { throw FileNotFoundException(it) } }
        for (json in listOf("", "{}", "[]", "{\"tolerance\":1,\"clips\":[]}", "{\"tolerance\":1,\"clips\":[{}]}")) {
            assertFailsWith<ModelError>(json) { test(json.toByteArray()) }
        }
    }

    @Test
    fun `no damage of the golden answers ends in anything but a message`() {
        val random = Random(13)
        val whole = golden(0.5f)
        var refused = 0
        repeat(20_000) {
            val file = whole.copyOf(if (random.nextInt(4) == 0) random.nextInt(whole.size) else whole.size)
            if (file.isNotEmpty()) repeat(random.nextInt(4)) { file[random.nextInt(file.size)] = random.nextInt().toByte() }
            try {
                val read = readGolden(SmallFacts(), file)
                assertTrue(read.tolerance.isFinite() && read.clips.single().probabilities.all { it.isFinite() })
            } catch (why: ModelError) {
                assertFalse(why.message.isNullOrEmpty())
                refused++
            }
        }
        assertTrue(refused in 1_000..19_999)
    }

    @Test
    fun `figures beyond every number are refused`() {
        for ((from, to) in listOf("0.02" to "1e999", "\"uncertainty\":" to "\"uncertainty\":1e99,\"u\":", "[0.5" to "[-1e99")) {
            val json = String(golden(0.5f)).replaceFirst(from, to)
            assertTrue(json.contains(to))
            assertFailsWith<ModelError>(json) { test(json.toByteArray()) }
        }
    }
}
