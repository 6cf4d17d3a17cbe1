// What an app may show: an answer, or that this recording is for the teacher; and the rule that decides.
package edgecomp.core

/**
 * A model's answer to one window, read by name.
 *
 * @property probabilities one for each label, in the labels' order
 * @property uncertainty 0 where it is sure; above the bundle's threshold the teacher is to be asked
 */
class Output(val probabilities: FloatArray, val uncertainty: Float)

/** An answer or a question for the teacher: two types, so that no label is read without having looked which it is. */
sealed class Outcome {
    abstract val output: Output
}

/** The bundle answers by itself; [probability] is that of [label]. */
class Answer(val label: String, val probability: Float, override val output: Output) : Outcome()

/** The bundle does not answer; [bestGuess] is for the record and never for the screen. */
class AskTeacher(val reason: Reason, val bestGuess: String, val probability: Float, override val output: Output) : Outcome()

/** Why the teacher is asked, and the word that stands for it in a record. */
enum class Reason(val word: String) {
    /** The uncertainty is above the bundle's threshold. */
    UNSURE("unsure"),

    /** The bundle promises nothing for any clip, so it asks about all. */
    ALWAYS("always"),

    /** The model answered with something that is no number. */
    NOT_A_NUMBER("not a number"),
}

/**
 * How probabilities become an outcome.
 *
 * source: rule 1 of docs/embedding.md
 * @property positive with [threshold]: of two labels, the one that needs at least that probability; null where the most
 *   probable label is the answer
 * @property askAbove the uncertainty above which the teacher is asked; null where every clip is left to the teacher
 */
class Rule(val labels: List<String>, val positive: String?, val threshold: Double?, val askAbove: Double?) {
    private val positiveAt = if (positive == null) -1 else labels.indexOf(positive)

    init {
        require(labels.size >= 2) { "${labels.size} labels; a decision needs at least 2" }
        require((positive == null) == (threshold == null)) { "positive and threshold go together: $positive, $threshold" }
        require(positive == null || (labels.size == 2 && positiveAt >= 0)) { "positive is $positive; labels are $labels" }
    }

    fun outcome(output: Output): Outcome {
        val given = output.probabilities
        require(given.size == labels.size) { "${given.size} probabilities for ${labels.size} labels" }
        val reason = when {
            given.any { !it.isFinite() } || !output.uncertainty.isFinite() -> Reason.NOT_A_NUMBER
            askAbove == null -> Reason.ALWAYS
            output.uncertainty > askAbove -> Reason.UNSURE
            else -> null
        }
        val best = best(given)
        if (reason == null) return Answer(labels[best], given[best], output)
        return AskTeacher(reason, labels[best], given[best], output)
    }

    private fun best(given: FloatArray): Int {
        if (threshold != null) return if (given[positiveAt] >= threshold.toFloat()) positiveAt else 1 - positiveAt
        val ranked = given.map { if (it.isNaN()) Float.NEGATIVE_INFINITY else it }
        return ranked.indices.maxByOrNull { ranked[it] } ?: 0 // the first of equals
    }
}
