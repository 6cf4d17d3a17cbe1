// The benchmark's arithmetic and its report: rounds of timed runs, percentiles, and JSON that a desk reads by adb.
package edgecomp.core

/** The report's format; edgecomp reads this one. */
const val BENCH_SCHEMA = "edgecomp-phone-bench/1"

/** Runs before the first that counts: caches, clock speeds and the runtime's own lazy work settle. */
const val WARMUP_RUNS = 5

/** Runs in a round; after each round the report is written again, so a killed benchmark keeps what it measured. */
const val RUNS_A_ROUND = 10

/** Of a benchmark by time: how long a round lasts where it is not a short one. */
const val LONGEST_ROUND_S = 1.0

/** The [share] quantile (0 to 1) of some values, interpolated between neighbours as numpy does. */
fun quantile(values: DoubleArray, share: Double): Double {
    require(values.isNotEmpty()) { "no values" }
    require(share in 0.0..1.0) { "share is $share; it must be from 0 to 1" }
    val sorted = values.sortedArray()
    val place = share * (sorted.size - 1)
    val below = place.toInt()
    val above = minOf(below + 1, sorted.size - 1)
    return sorted[below] + (place - below) * (sorted[above] - sorted[below])
}

/** How much to run: a number of runs, or, where [seconds] is above 0, at least so long. */
class Effort(val runs: Int, val seconds: Double = 0.0)

/** Split a number of runs into rounds; the last one may be shorter. */
fun rounds(runs: Int): List<Int> {
    require(runs > 0) { "runs is $runs; it must be at least 1" }
    return List((runs + RUNS_A_ROUND - 1) / RUNS_A_ROUND) { minOf(RUNS_A_ROUND, runs - it * RUNS_A_ROUND) }
}

/** What the machine is and how it is doing; each name and unit is the report's own. Null: this phone does not say. */
class Device(val facts: Map<String, Any?>)

/** The battery at a moment of the benchmark. Null: this phone does not say. */
class Battery(val atMs: Long, val chargeUah: Long?, val currentUa: Long?, val temperatureC: Double?)

/** What the model answers to a clip that was pushed to the phone. */
class ClipAnswer(val clip: String, val output: Output)

/**
 * How the model was loaded, before any run that counts.
 *
 * @property coldStartMs from the process's start to its first answer; null where the process was used before
 * @property loadMs from the file to a session
 */
class Startup(val coldStartMs: Double?, val loadMs: Double)

/** Memory: the most that was in use after any round so far, and the native heap after the last. */
class Memory(val peakPssBytes: Long, val nativeHeapBytes: Long)

/**
 * The report of a benchmark, complete at every moment; [finished] only after its last round.
 *
 * @property golden the self-test; null where another model file was pushed, whose golden clips are not here
 * @property modelSha256 of the file that ran
 * source: the contract is written down in android_demo/README.md
 */
class BenchReport(
    val facts: Facts,
    val model: Model,
    val start: Startup,
    val golden: SelfTest?,
    val device: Device,
    val modelSha256: String = facts.modelSha256,
) {
    val samplesMs = ArrayList<DoubleArray>()
    val battery = ArrayList<Battery>()
    val answers = ArrayList<ClipAnswer>()
    var memory: Memory? = null
    var finished = false

    fun json(): String = toJson(
        linkedMapOf(
            "schema" to BENCH_SCHEMA,
            "bundle" to facts.name,
            "version" to facts.version,
            "model_sha256" to modelSha256,
            "runtime" to model.runtime,
            "threads" to model.threads,
            "delegate" to model.delegate,
            "warmup" to WARMUP_RUNS,
            "samples_ms" to samplesMs,
            "cold_start_ms" to start.coldStartMs,
            "load_ms" to start.loadMs,
            "peak_pss_bytes" to memory?.peakPssBytes,
            "native_heap_bytes" to memory?.nativeHeapBytes,
            "golden" to golden?.let { mapOf("worst" to it.worst, "tolerance" to it.tolerance, "passed" to it.passed) },
            "answers" to answers.map {
                mapOf("clip" to it.clip, "probabilities" to it.output.probabilities, "uncertainty" to it.output.uncertainty)
            },
            "device" to device.facts,
            "battery" to battery.map {
                mapOf("at_ms" to it.atMs, "charge_uah" to it.chargeUah, "current_ua" to it.currentUa, "temperature_c" to it.temperatureC)
            },
            "finished" to finished,
        ),
    )
}

/**
 * Time a model on some clips in rounds, after [WARMUP_RUNS] runs that do not count.
 *
 * @param clips each of the model's length; run one after another, over and over
 * @param nanoTime the clock, so that the arithmetic can be tested without waiting
 * @param afterRound called with each round's durations, to write the report before more is risked
 */
fun timeRounds(
    model: Model,
    clips: List<FloatArray>,
    effort: Effort,
    nanoTime: () -> Long = System::nanoTime,
    afterRound: (DoubleArray) -> Unit,
) {
    require(clips.isNotEmpty()) { "no clips" }
    repeat(WARMUP_RUNS) { model.run(clips[it % clips.size]) }
    var turn = 0
    val oneRun = {
        val clip = clips[turn++ % clips.size]
        val from = nanoTime()
        model.run(clip)
        (nanoTime() - from) / 1e6
    }
    if (effort.seconds <= 0) {
        rounds(effort.runs).forEach { size -> afterRound(DoubleArray(size) { oneRun() }) }
        return
    }
    // Seldom enough that writing the report neither disturbs nor heats the phone, and ten rounds at least.
    val roundNanos = minOf(LONGEST_ROUND_S, effort.seconds / 10) * 1e9
    val began = nanoTime()
    do {
        val round = ArrayList<Double>()
        val started = nanoTime()
        do round += oneRun() while (nanoTime() - started < roundNanos)
        afterRound(round.toDoubleArray())
    } while ((nanoTime() - began) / 1e9 < effort.seconds)
}

/** The report of a benchmark that could not be finished: why, for the desk that waits for it. */
fun benchFailure(facts: Facts, what: String): String = toJson(
    linkedMapOf("schema" to BENCH_SCHEMA, "bundle" to facts.name, "version" to facts.version, "error" to what, "finished" to false),
)
