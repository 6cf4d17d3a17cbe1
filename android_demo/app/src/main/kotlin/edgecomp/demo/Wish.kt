// What `am start` asks of a benchmark: read from the extras, and refused where it cannot be.
package edgecomp.demo

import android.content.Intent
import edgecomp.core.Effort
import edgecomp.model.InUse

class Wish(intent: Intent) {
    /** The bundle that is meant; null for whichever is here. */
    private val bundle: String? = intent.getStringExtra("bench")

    /** The SHA-256 of a pushed model file, models/SHA256.onnx or .tflite; null for the bundle's own. */
    val model: String? = intent.getStringExtra("model")

    /** The folder of pushed clips, inside the app's own. */
    val clips: String = intent.getStringExtra("clips") ?: "clips"
    val threads: Int? = if (intent.hasExtra("threads")) intent.getIntExtra("threads", 0) else null
    val delegate: String = intent.getStringExtra("delegate") ?: "default"
    val effort = Effort(intent.getIntExtra("runs", 100), seconds(intent))

    /** Say what of it cannot be done, or null. */
    fun fault(): String? = when {
        bundle != null && bundle != InUse.name -> "this app holds the bundle ${InUse.name}, not $bundle"
        model != null && !SHA256.matches(model) -> "model is $model; it must be a SHA-256 in small hex digits"
        !FOLDER.matches(clips) -> "clips is $clips; it must be the name of a folder"
        threads != null && threads !in 1..MOST_THREADS -> "$threads threads; from 1 to $MOST_THREADS are allowed"
        delegate !in DELEGATES -> "delegate $delegate; allowed are ${DELEGATES.joinToString()}"
        effort.runs !in 1..MOST_RUNS -> "${effort.runs} runs; from 1 to $MOST_RUNS are allowed"
        effort.seconds !in 0.0..MOST_SECONDS -> "${effort.seconds} seconds; at most $MOST_SECONDS are allowed"
        else -> null
    }

    private companion object {
        val SHA256 = Regex("[0-9a-f]{64}")
        val FOLDER = Regex("[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
        val DELEGATES = listOf("default", "none", "nnapi", "xnnpack")
        const val MOST_THREADS = 16
        const val MOST_RUNS = 100_000
        const val MOST_SECONDS = 7_200.0

        /** `--ef seconds 2.5` and `--ei seconds 2` are both meant. */
        fun seconds(intent: Intent): Double =
            maxOf(intent.getFloatExtra("seconds", 0f).toDouble(), intent.getIntExtra("seconds", 0).toDouble())
    }
}
