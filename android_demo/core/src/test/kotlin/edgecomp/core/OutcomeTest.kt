// The rule, and the line that keeps its result.
package edgecomp.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs

class OutcomeTest {
    private val rule = Rule(listOf("a", "b", "c"), null, null, 0.5)
    private val screening = Rule(listOf("negative", "positive"), "positive", 0.3, 0.5)

    private fun output(vararg probabilities: Float, uncertainty: Float = 0f) = Output(probabilities, uncertainty)

    @Test
    fun `the first of the most probable labels is the answer`() {
        assertEquals("b", assertIs<Answer>(rule.outcome(output(0.2f, 0.4f, 0.4f))).label)
    }

    @Test
    fun `a threshold is compared as a 32-bit float and is reached when it is equal`() {
        assertEquals("positive", assertIs<Answer>(screening.outcome(output(0.7f, 0.3f))).label)
        assertEquals("negative", assertIs<Answer>(screening.outcome(output(0.7f, 0.29999998f))).label)
        assertEquals(0.7f, assertIs<Answer>(screening.outcome(output(0.7f, 0.29f))).probability)
    }

    @Test
    fun `above its uncertainty the bundle asks and at it it answers`() {
        assertIs<Answer>(rule.outcome(output(1f, 0f, 0f, uncertainty = 0.5f)))
        val asked = assertIs<AskTeacher>(rule.outcome(output(1f, 0f, 0f, uncertainty = 0.50000006f)))
        assertEquals(Reason.UNSURE, asked.reason)
        assertEquals("a", asked.bestGuess)
    }

    @Test
    fun `a bundle that promises nothing asks about everything`() {
        val always = Rule(listOf("a", "b"), null, null, null)
        assertEquals(Reason.ALWAYS, assertIs<AskTeacher>(always.outcome(output(1f, 0f))).reason)
    }

    @Test
    fun `what is no number is asked about before anything else`() {
        for (bad in listOf(Float.NaN, Float.POSITIVE_INFINITY)) {
            assertEquals(Reason.NOT_A_NUMBER, assertIs<AskTeacher>(rule.outcome(output(bad, 0f, 0f))).reason)
            assertEquals(Reason.NOT_A_NUMBER, assertIs<AskTeacher>(rule.outcome(output(1f, 0f, 0f, uncertainty = bad))).reason)
        }
        val none = assertIs<AskTeacher>(rule.outcome(output(Float.NaN, Float.NaN, Float.NaN)))
        assertEquals("a", none.bestGuess)
    }

    @Test
    fun `a rule that cannot decide is refused`() {
        assertFailsWith<IllegalArgumentException> { Rule(listOf("a"), null, null, 0.5) }
        assertFailsWith<IllegalArgumentException> { Rule(listOf("a", "b"), "c", 0.5, 0.5) }
        assertFailsWith<IllegalArgumentException> { Rule(listOf("a", "b", "c"), "a", 0.5, 0.5) }
        assertFailsWith<IllegalArgumentException> { rule.outcome(output(0.5f, 0.5f)) }
    }

    @Test
    fun `a result comes back from its line as it was`() {
        val facts = SmallFacts()
        val answers = mapOf("days" to 12.0, "breathing" to "hard", "fever" to true)
        for (uncertainty in listOf(0.1f, 0.9f, Float.NaN)) {
            val result = facts.rule.outcome(output(0.75f, 0.25f, uncertainty = uncertainty)).result(facts, 1_700_000_000_000, 12, answers)
            val read = readHistory(sequenceOf(result.toLine())).results.single()
            assertEquals(result.toLine(), read.toLine())
            assertEquals(result.reason, read.reason)
            assertEquals(result.probabilities, read.probabilities)
            assertEquals(12, read.droppedSamples)
            assertEquals("{\"fever\":true,\"breathing\":\"hard\",\"temperature\":null,\"days\":12}", toJson(read.answers))
        }
    }

    @Test
    fun `the answers stand beside the outcome and change nothing else in its line`() {
        val facts = SmallFacts()
        val outcome = facts.rule.outcome(output(0.75f, 0.25f))
        val without = outcome.result(facts, 5).toLine()
        val with = outcome.result(facts, 5, 0, mapOf("fever" to false, "breathing" to "easy", "days" to 0)).toLine()
        assertEquals(without.dropLast(1), with.substringBefore(",\"answers\":"))
        assertEquals(null, readHistory(sequenceOf(without)).results.single().answers)
    }

    @Test
    fun `answers that do not answer the questions make no result`() {
        val facts = SmallFacts()
        val outcome = facts.rule.outcome(output(0.75f, 0.25f))
        val whole = mapOf("fever" to true, "breathing" to "easy", "days" to 3)
        for (wrong in listOf(whole - "fever", whole + ("name" to "A. B."), whole + ("days" to 400), emptyMap())) {
            assertFailsWith<IllegalArgumentException> { outcome.result(facts, 5, 0, wrong) }
        }
    }

    @Test
    fun `damaged lines are counted and harm no other`() {
        val line = SmallFacts().rule.outcome(output(0.75f, 0.25f)).result(SmallFacts(), 5).toLine()
        val history = readHistory(sequenceOf(line, line.dropLast(9), "", "[]", "null", line))
        assertEquals(2, history.results.size)
        assertEquals(3, history.damaged)
        val random = Random(9)
        repeat(2_000) { // no damage may end in a crash
            val bytes = line.toCharArray()
            bytes[random.nextInt(bytes.size)] = random.nextInt(128).toChar()
            readHistory(sequenceOf(String(bytes)))
        }
    }
}
