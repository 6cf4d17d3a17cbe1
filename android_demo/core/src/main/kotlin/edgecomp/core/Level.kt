// How loud the microphone hears: a level for a meter, and a word for those who do not see it.
package edgecomp.core

import kotlin.math.abs
import kotlin.math.log10

/** A meter's lowest level, in dB below full scale. */
const val QUIETEST_DB = -60f

/** Below this the sound hardly stands out of a phone microphone's own noise. A policy of this app, not of the bundle. */
private const val TOO_QUIET_DB = -50f

/** A sample this near full scale was probably cut off by the recorder. */
private const val CLIPPED = 0.999f

/** Share of such samples above which a recording sounds torn. A policy of this app, not of the bundle. */
private const val TOO_MANY_CLIPPED = 0.01f

/** What to tell the person who records. */
enum class Loudness { TOO_QUIET, GOOD, TOO_LOUD }

/** The loudness of some samples; [db] is their power below full scale, from [QUIETEST_DB] to 0. */
class Level(val db: Float, val loudness: Loudness)

/** Measure a chunk; an empty one is silence. */
fun level(chunk: FloatArray): Level {
    if (chunk.isEmpty()) return Level(QUIETEST_DB, Loudness.TOO_QUIET)
    var power = 0.0
    var clipped = 0
    for (sample in chunk) {
        power += sample.toDouble() * sample
        if (abs(sample) >= CLIPPED) clipped++
    }
    val db = (10 * log10(power / chunk.size + 1e-12)).toFloat().coerceIn(QUIETEST_DB, 0f)
    return Level(
        db,
        when {
            clipped > TOO_MANY_CLIPPED * chunk.size -> Loudness.TOO_LOUD
            db < TOO_QUIET_DB -> Loudness.TOO_QUIET
            else -> Loudness.GOOD
        },
    )
}
