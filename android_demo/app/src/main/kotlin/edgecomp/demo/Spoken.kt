// Questions and answers in words: in the phone's language where the bundle has it.
package edgecomp.demo

import android.content.Context
import edgecomp.core.Choice
import edgecomp.core.Fault
import edgecomp.core.Figure
import edgecomp.core.Question
import edgecomp.core.YesNo
import edgecomp.core.toJson
import java.util.Locale

class Spoken(private val context: Context) {
    val language: String = Locale.getDefault().toLanguageTag()

    fun title(question: Question): String {
        val text = question.text.said(language)
        val unit = (question as? Figure)?.unit?.let { " (${it.said(language)})" } ?: ""
        return if (question.isOptional) context.getString(R.string.may_skip, text + unit) else text + unit
    }

    /** What a question can be answered with, and how it is said; nothing for a number. */
    fun options(question: Question): List<Pair<Any?, String>> {
        val known = when (question) {
            is YesNo -> listOf(true to context.getString(R.string.yes), false to context.getString(R.string.no))
            is Choice -> question.options.map { it.id to it.text.said(language) }
            is Figure -> return emptyList()
        }
        return if (question.isOptional) known + (null to context.getString(R.string.no_answer)) else known
    }

    /** What is wrong with an answer; the sign stands for whoever does not see that the words are bold. */
    fun fault(question: Question, fault: Fault): String = "⚠ " + when {
        question !is Figure || fault == Fault.MISSING || fault == Fault.UNKNOWN -> context.getString(R.string.fault_missing)
        fault == Fault.NO_NUMBER -> context.getString(R.string.fault_number)
        fault == Fault.OUT_OF_RANGE -> context.getString(R.string.fault_range, toJson(question.min), toJson(question.max))
        else -> context.getString(R.string.fault_decimals, question.decimals)
    }

    /** A question and its answer on a line; of another version's question, as it was kept. */
    fun line(questions: List<Question>, id: String, answer: Any?): String {
        val question = questions.firstOrNull { it.id == id }
        val said = when {
            answer == null -> context.getString(R.string.no_answer)
            answer is Number -> listOfNotNull(toJson(answer.toDouble()), (question as? Figure)?.unit?.said(language)).joinToString(" ")
            question == null -> answer.toString()
            else -> options(question).firstOrNull { it.first == answer }?.second ?: answer.toString()
        }
        return "${question?.text?.said(language) ?: id} $said"
    }
}
