// What a recording can do wrong, in words for a person.
package edgecomp.core

/** A recording, or a piece of one, that cannot be used; nothing has changed by it. */
class AudioError(what: String) : IllegalArgumentException(what)

/** Raise [AudioError] where a sample is no finite number. */
internal fun requireFinite(wave: FloatArray) {
    val bad = wave.count { !it.isFinite() }
    if (bad > 0) throw AudioError("$bad of ${wave.size} samples are NaN or infinite")
}
