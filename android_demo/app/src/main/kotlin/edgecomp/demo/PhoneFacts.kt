// What this phone is and how it is doing, for a benchmark's report.
package edgecomp.demo

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.Debug
import android.os.SystemClock
import edgecomp.core.Battery
import edgecomp.core.Device
import edgecomp.core.Memory

class PhoneFacts(private val context: Context) {
    private val battery = context.getSystemService(Context.BATTERY_SERVICE) as BatteryManager
    private val began = SystemClock.elapsedRealtime()
    private var peakPssBytes = 0L

    fun device(): Device {
        val memory = ActivityManager.MemoryInfo()
        (context.getSystemService(Context.ACTIVITY_SERVICE) as ActivityManager).getMemoryInfo(memory)
        return Device(
            linkedMapOf(
                "manufacturer" to Build.MANUFACTURER,
                "model" to Build.MODEL,
                "soc" to socName(),
                "android" to Build.VERSION.RELEASE,
                "api" to Build.VERSION.SDK_INT,
                "abis" to Build.SUPPORTED_ABIS.toList(),
                "cores" to Runtime.getRuntime().availableProcessors(),
                "memory_bytes" to memory.totalMem,
                "battery_percent" to known(battery.getIntProperty(BatteryManager.BATTERY_PROPERTY_CAPACITY).toLong()),
                "battery_temperature_c" to temperatureC(),
                "thermal_status" to thermalStatus(context),
                "charging" to battery.isCharging,
            ),
        )
    }

    fun battery(): Battery = Battery(
        SystemClock.elapsedRealtime() - began,
        known(battery.getLongProperty(BatteryManager.BATTERY_PROPERTY_CHARGE_COUNTER)),
        known(battery.getLongProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW)),
        temperatureC(),
    )

    /** Look at this process's memory now; the peak is that of all looks so far. */
    fun memory(): Memory {
        val info = Debug.MemoryInfo()
        Debug.getMemoryInfo(info)
        peakPssBytes = maxOf(peakPssBytes, info.totalPss * 1024L)
        return Memory(peakPssBytes, Debug.getNativeHeapAllocatedSize())
    }

    private fun temperatureC(): Double? {
        val told: Intent? = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        val tenths = told?.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Int.MIN_VALUE) ?: Int.MIN_VALUE
        return if (tenths == Int.MIN_VALUE) null else tenths / 10.0
    }

    /** A property that a phone does not have reads as the smallest Long, or the smallest Int. */
    private fun known(value: Long): Long? = if (value == Long.MIN_VALUE || value == Int.MIN_VALUE.toLong()) null else value
}
