// The questions: what answers them, and in which language they are asked.
package edgecomp.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class FormTest {
    private val questions = SmallFacts().questions
    private val given = mapOf<String, Any?>("fever" to true, "breathing" to "hard", "temperature" to 38.5, "days" to 12)

    private fun faultOf(id: String, answer: Any?) = questions.single { it.id == id }.fault(answer)

    @Test
    fun `a question that must be answered is missed and an optional one is not`() {
        assertEquals(listOf("fever" to Fault.MISSING, "breathing" to Fault.MISSING, "days" to Fault.MISSING), faults(questions, emptyMap()).map { it.key.id to it.value })
        assertEquals(emptyMap(), faults(questions, given - "temperature"))
    }

    @Test
    fun `each kind takes its own answers and no other`() {
        for (value in listOf(true, false)) assertEquals(null, faultOf("fever", value))
        for (value in listOf("yes", 1, 0.0, "")) assertEquals(Fault.UNKNOWN, faultOf("fever", value))
        for (value in listOf("easy", "hard")) assertEquals(null, faultOf("breathing", value))
        for (value in listOf("Easy", "", true, 3)) assertEquals(Fault.UNKNOWN, faultOf("breathing", value))
        for (value in listOf(0, 0.0, 365L, 12)) assertEquals(null, faultOf("days", value))
        for (value in listOf(-1, 366, 1e300)) assertEquals(Fault.OUT_OF_RANGE, faultOf("days", value))
        for (value in listOf("12", true, Double.NaN, Double.POSITIVE_INFINITY)) assertEquals(Fault.NO_NUMBER, faultOf("days", value))
        assertEquals(Fault.TOO_FINE, faultOf("days", 12.5))
        assertEquals(Fault.TOO_FINE, faultOf("temperature", 37.25))
    }

    @Test
    fun `every number of so many decimals is taken however it was rounded`() {
        for (tenths in 300..450) assertEquals(null, faultOf("temperature", "${tenths / 10}.${tenths % 10}".toDouble()))
    }

    @Test
    fun `answers come in the order of the questions and what was left out is null`() {
        val checked = checkAnswers(questions, (given - "temperature").entries.reversed().associate { it.key to it.value })
        assertEquals(listOf<Any?>(true, "hard", null, 12), checked.values.toList())
        assertEquals(questions.map { it.id }, checked.keys.toList())
        assertFailsWith<IllegalArgumentException> { checkAnswers(questions, given + ("name" to "A. B.")) }
    }

    @Test
    fun `a text is said in the language or in English or in the first there is`() {
        val words = Words("hi" to "ज्वर", "en" to "fever", "pt-BR" to "febre")
        assertEquals(listOf("ज्वर", "ज्वर", "febre", "fever", "fever"), listOf("hi-IN", "hi", "pt-BR", "pt", "sw").map { words.said(it) })
        assertEquals("ज्वर", Words("hi" to "ज्वर").said("sw"))
    }

    @Test
    fun `numbers are read as people type them`() {
        val typed = listOf("12", " 12 ", "12,5", "38.5", "३८.५", "-3", "+3", "1e3", "", " ", "12.", ".5", "0x10", "१२", "twelve", "1 2")
        val figures = listOf(12.0, 12.0, 12.5, 38.5, 38.5, -3.0, null, null, null, null, null, null, null, 12.0, null, null)
        assertEquals(figures, typed.map { readNumber(it) })
        val random = Random(3)
        repeat(2_000) { // whatever is typed, there is no crash
            readNumber(String(CharArray(random.nextInt(6)) { "0१९9.,-+eE ٣x"[random.nextInt(12)] }))
        }
    }
}
