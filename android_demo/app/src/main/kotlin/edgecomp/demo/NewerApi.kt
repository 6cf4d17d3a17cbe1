// What Android learnt after version 6, asked for by name: absent on old phones, and in the classes that check this code.
package edgecomp.demo

import android.content.Context
import android.os.Build
import android.os.PowerManager
import android.os.Process

/** Milliseconds since boot at which this process was started (Android 7), or null. */
fun processStartedMs(): Long? = orNull { Process::class.java.getMethod("getStartElapsedRealtime").invoke(null) as Long }

/** 0: not throttled; up to 6: shut down (Android 10), or null. */
fun thermalStatus(context: Context): Int? = orNull {
    val power = context.getSystemService(Context.POWER_SERVICE) as PowerManager
    PowerManager::class.java.getMethod("getCurrentThermalStatus").invoke(power) as Int
}

/** The processor's name (Android 12); before that the board's, which often has it. */
fun socName(): String = orNull { Build::class.java.getField("SOC_MODEL").get(null) as String } ?: Build.HARDWARE

private fun <T> orNull(ask: () -> T): T? = try {
    ask()
} catch (why: ReflectiveOperationException) {
    null
}
