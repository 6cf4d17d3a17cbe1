// The questions about the person that are asked before a recording; rule 9 of docs/embedding.md. No answer changes an outcome.
package edgecomp.core

import java.math.BigDecimal
import java.math.RoundingMode

/** A text by language. */
class Words(vararg texts: Pair<String, String>) {
    private val texts = linkedMapOf(*texts)

    /** The text in a language ("hi-IN"), or in its language without the region, in English, or the first that there is. */
    fun said(language: String): String =
        listOf(language, language.substringBefore('-'), "en").firstNotNullOfOrNull { texts[it] } ?: texts.values.first()
}

/** One question; an answer is a Boolean, the id of an [Option], a Number, or null where it [isOptional] and was left out. */
sealed class Question {
    abstract val id: String
    abstract val text: Words
    abstract val help: Words?
    abstract val isOptional: Boolean

    /** What is wrong with an answer, or null. */
    fun fault(answer: Any?): Fault? = when {
        answer != null -> wrong(answer)
        isOptional -> null
        else -> Fault.MISSING
    }

    protected abstract fun wrong(answer: Any): Fault?
}

class YesNo(
    override val id: String,
    override val text: Words,
    override val help: Words? = null,
    override val isOptional: Boolean = false,
) : Question() {
    override fun wrong(answer: Any) = if (answer is Boolean) null else Fault.UNKNOWN
}

/** One answer of a [Choice]. */
class Option(val id: String, val text: Words)

class Choice(
    override val id: String,
    override val text: Words,
    val options: List<Option>,
    override val help: Words? = null,
    override val isOptional: Boolean = false,
) : Question() {
    override fun wrong(answer: Any) = if (options.any { it.id == answer }) null else Fault.UNKNOWN
}

/** A number from [min] to [max] with at most so many [decimals]. */
class Figure(
    override val id: String,
    override val text: Words,
    val min: Double,
    val max: Double,
    val decimals: Int = 0,
    val unit: Words? = null,
    override val help: Words? = null,
    override val isOptional: Boolean = false,
) : Question() {
    override fun wrong(answer: Any): Fault? {
        val value = (answer as? Number)?.toDouble() ?: return Fault.NO_NUMBER
        return when {
            !value.isFinite() -> Fault.NO_NUMBER
            value < min || value > max -> Fault.OUT_OF_RANGE
            BigDecimal(value).setScale(decimals, RoundingMode.HALF_EVEN).toDouble() != value -> Fault.TOO_FINE
            else -> null
        }
    }
}

/** What is wrong with an answer. */
enum class Fault { MISSING, UNKNOWN, NO_NUMBER, OUT_OF_RANGE, TOO_FINE }

/** The questions whose answers are wrong or missing, in their order, and why. */
fun faults(questions: List<Question>, answers: Map<String, Any?>): Map<Question, Fault> =
    questions.mapNotNull { one -> one.fault(answers[one.id])?.let { one to it } }.toMap(LinkedHashMap())

/** Return an answer to every question in the questions' order. Raises IllegalArgumentException where one is wrong or of no question. */
fun checkAnswers(questions: List<Question>, answers: Map<String, Any?>): Map<String, Any?> {
    val unknown = answers.keys - questions.map { it.id }.toSet()
    require(unknown.isEmpty()) { "there are no questions $unknown" }
    val wrong = faults(questions, answers)
    require(wrong.isEmpty()) { "not answered: ${wrong.entries.joinToString { "${it.key.id} (${it.value})" }}" }
    return questions.associateTo(LinkedHashMap()) { it.id to answers[it.id] }
}

/** Read a number as people type it: digits of any script, a point or a comma; null where it is none. */
fun readNumber(typed: String): Double? {
    val plain = typed.trim().map { if (it.isDigit()) '0' + Character.digit(it, 10) else if (it == ',') '.' else it }.joinToString("")
    return if (Regex("-?[0-9]{1,15}(\\.[0-9]{1,15})?").matches(plain)) plain.toDouble() else null
}
