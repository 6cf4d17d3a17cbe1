// The results that stay on the phone: one JSON line each, so that a line cut off by a dead battery harms no other.
package edgecomp.core

/**
 * One result as it is kept; a history outlives the models, so it keeps words and no types.
 *
 * @property atMs milliseconds since 1970
 * @property reason why the teacher was asked; null where the bundle answered
 * @property droppedSamples what the recorder could not keep; 0 in a whole recording
 * @property symptoms answers to the form, by question
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
    val symptoms: Map<String, Boolean>,
)

/** A moment's outcome as it is kept. */
fun Outcome.result(facts: Facts, atMs: Long, droppedSamples: Long = 0, symptoms: Map<String, Boolean> = emptyMap()): Result {
    val (label, probability) = when (this) {
        is Answer -> label to probability
        is AskTeacher -> bestGuess to probability
    }
    val named = facts.labels.withIndex().associate { it.value to output.probabilities[it.index] }
    val reason = (this as? AskTeacher)?.reason?.word
    return Result(atMs, facts.name, facts.version, label, probability, named, output.uncertainty, reason, droppedSamples, symptoms)
}

/** One result as one line of JSON; rule 1 of docs/embedding.md, and what only a phone knows. */
fun Result.toLine(): String = toJson(
    linkedMapOf(
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
        "symptoms" to symptoms,
    ),
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
            (told["symptoms"] as Map<*, *>).entries.associate { it.key as String to (it.value as Boolean) },
        )
    } catch (why: RuntimeException) { // a damaged line meets casts, nulls and our own reader alike
        null
    }
}

/** JSON has no NaN: what was none is null there, and NaN again here. */
private fun number(value: Any?): Float = if (value == null) Float.NaN else (value as Number).toFloat()
