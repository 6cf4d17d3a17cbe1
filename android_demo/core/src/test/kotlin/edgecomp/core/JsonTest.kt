// The JSON writer and reader.
package edgecomp.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class JsonTest {
    @Test
    fun `what is written is read again`() {
        val random = Random(10)
        repeat(500) {
            val value = value(random, 0)
            assertEquals(value, readJson(toJson(value)))
        }
    }

    private fun value(random: Random, depth: Int): Any? = when (random.nextInt(if (depth > 3) 5 else 7)) {
        0 -> null
        1 -> random.nextBoolean()
        2 -> random.nextLong()
        3 -> random.nextDouble() * 1e3 + 0.25
        4 -> String(CharArray(random.nextInt(8)) { "aé\"\\\n\t\u0000\u2028ह😀/"[random.nextInt(11)] })
        5 -> List(random.nextInt(4)) { value(random, depth + 1) }
        else -> (0 until random.nextInt(4)).associate { "k$it" to value(random, depth + 1) }
    }

    @Test
    fun `a number that JSON does not have becomes null`() {
        assertEquals("[null,null,1,0.5]", toJson(listOf(Float.NaN, Double.NEGATIVE_INFINITY, 1.0, 0.5f)))
    }

    @Test
    fun `other escapes are read`() {
        assertEquals("A/\b\u000c\r", readJson("\"\\u0041\\/\\b\\f\\r\""))
    }

    @Test
    fun `what is no JSON is refused with its place`() {
        val wrong = listOf(
            "", " ", "{", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "01", "1.", "-", "+1", "nul", "\"", "\"\\x\"", "\"\\u12\"", "\"\n\"", "1 1", "[".repeat(100),
        )
        for (text in wrong) assertFailsWith<JsonError>(text) { readJson(text) }
    }
}
