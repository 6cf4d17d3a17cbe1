// The model of this process: loaded once, and tested on this phone before it may answer.
package edgecomp.demo

import android.content.Context
import android.os.Build
import edgecomp.core.Model
import edgecomp.core.SelfTest
import edgecomp.model.InUse

/** The bundle's model, ready. */
class Engine private constructor(val model: Model) {
    /** Test the model on this phone. Raises ModelError where the golden clips are missing or were changed. */
    fun test(context: Context): SelfTest = InUse.selfTest(context, model)

    companion object {
        private const val TESTED = "tested"
        private var engine: Engine? = null

        /** Whether this process has loaded the model before; its start is then no cold one. */
        @get:Synchronized
        val isLoaded: Boolean get() = engine != null

        /** Return the one engine; blocks while it loads. Raises ModelError, and nothing else. */
        @Synchronized
        fun of(context: Context): Engine = engine ?: Engine(InUse.load(context)).also { engine = it }

        /** What was tested: a new bundle, or a new system with another processor's code, is tested anew. */
        private val tested get() = "${InUse.bundleHash} ${Build.FINGERPRINT}"

        fun hasPassed(context: Context): Boolean = settings(context).getString(TESTED, null) == tested

        fun setPassed(context: Context) = settings(context).edit().putString(TESTED, tested).apply()

        private fun settings(context: Context) = context.getSharedPreferences("engine", Context.MODE_PRIVATE)
    }
}
