// The results that stay on the phone: one JSON line each, so that a line cut off by a dead battery harms no other.
package edgecomp.core

/**
 * One result as it is kept; a history outlives the models, so it keeps words and no types.
 *
 * @property atMs milliseconds since 1970
 * @property reason why the teacher was asked; null where the bundle answered
 * @property droppedSamples what the recorder could not keep; 0 in a whole recording
 * @property answers to the form, by question and in its order; null where none was filled in
 */
class Result(
    val atMs: Long,
    val bundle: String,
    val version: String,
    val label: String,
    val probability: Float,
    val probabilities: Map<String, Float>,
    val uncertainty: Float,
    val reason: String?,
    val droppedSamples: Long,
    val answers: Map<String, Any?>?,
)

/** A moment's outcome as it is kept. Raises IllegalArgumentException where the answers do not answer the bundle's questions. */
fun Outcome.result(facts: Facts, atMs: Long, droppedSamples: Long = 0, answers: Map<String, Any?>? = null): Result {
    val (label, probability) = when (this) {
        is Answer -> label to probability
        is AskTeacher -> bestGuess to probability
    }
    val named = facts.labels.withIndex().associate { it.value to output.probabilities[it.index] }
    val reason = (this as? AskTeacher)?.reason?.word
    val checked = answers?.let { checkAnswers(facts.questions, it) }
    return Result(atMs, facts.name, facts.version, label, probability, named, output.uncertainty, reason, droppedSamples, checked)
}

/** One result as one line of JSON; rule 1 of docs/embedding.md, and what only a phone knows. */
fun Result.toLine(): String = toJson(
    linkedMapOf<String, Any?>(
        "label" to label,
        "probability" to probability,
        "probabilities" to probabilities,
        "uncertainty" to uncertainty,
        "ask" to (reason != null),
        "reason" to reason,
        "bundle" to bundle,
        "version" to version,
        "at_ms" to atMs,
        "dropped_samples" to droppedSamples,
    ).also { if (answers != null) it["answers"] = answers },
)

/** A history as it could be read; [damaged] lines are counted and left out. */
class History(val results: List<Result>, val damaged: Int)

/** Read a history's lines, oldest first. */
fun readHistory(lines: Sequence<String>): History {
    val results = ArrayList<Result>()
    var damaged = 0
    for (line in lines.filter { it.isNotBlank() }) {
        val result = readResult(line)
        if (result == null) damaged++ else results += result
    }
    return History(results, damaged)
}

private fun readResult(line: String): Result? {
    return try {
        val told = readJson(line) as Map<*, *>
        Result(
            told["at_ms"] as Long,
            told["bundle"] as String,
            told["version"] as String,
            told["label"] as String,
            number(told["probability"]),
            (told["probabilities"] as Map<*, *>).entries.associate { it.key as String to number(it.value) },
            number(told["uncertainty"]),
            told["reason"] as String?,
            told["dropped_samples"] as Long,
            (told["answers"] as Map<*, *>?)?.entries?.associate { it.key as String to answer(it.value) },
        )
    } catch (why: RuntimeException) { // a damaged line meets casts, nulls and our own reader alike
        null
    }
}

private fun answer(value: Any?): Any? = value.also { require(it == null || it is Boolean || it is String || it is Number) { "no answer" } }

/** JSON has no NaN: what was none is null there, and NaN again here. */
private fun number(value: Any?): Float = if (value == null) Float.NaN else (value as Number).toFloat()
