// The benchmark's arithmetic and its report.
package edgecomp.core

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class BenchTest {
    @Test
    fun `quantiles are interpolated as numpy does`() {
        val values = doubleArrayOf(4.0, 1.0, 3.0, 2.0) // np.quantile([4, 1, 3, 2], [0, 0.1, 0.5, 0.9, 1])
        assertContentEquals(
            doubleArrayOf(1.0, 1.3, 2.5, 3.7, 4.0),
            doubleArrayOf(0.0, 0.1, 0.5, 0.9, 1.0).map { Math.round(quantile(values, it) * 1e9) / 1e9 }.toDoubleArray(),
        )
        assertEquals(7.0, quantile(doubleArrayOf(7.0), 0.9))
        assertFailsWith<IllegalArgumentException> { quantile(doubleArrayOf(), 0.5) }
    }

    @Test
    fun `runs are split into rounds and none is lost`() {
        for (runs in 1..101) assertEquals(runs, rounds(runs).sum())
        assertEquals(listOf(10, 10, 3), rounds(23))
        assertFailsWith<IllegalArgumentException> { rounds(0) }
    }

    @Test
    fun `warm-up runs are run and not counted`() {
        val model = SmallModel()
        var now = 0L
        val taken = ArrayList<DoubleArray>()
        timeRounds(model, listOf(FloatArray(4), FloatArray(4)), Effort(23), { now.also { now += 1_500_000 } }) { taken += it }
        assertEquals(WARMUP_RUNS + 23, model.asked)
        assertEquals(listOf(10, 10, 3), taken.map { it.size })
        assertEquals(setOf(1.5), taken.flatMap { it.asList() }.toSet())
    }

    @Test
    fun `a wish for seconds runs at least so long and ends`() {
        val model = SmallModel()
        var now = 0L
        val taken = ArrayList<DoubleArray>()
        timeRounds(model, listOf(FloatArray(4)), Effort(1, seconds = 0.1), { now.also { now += 1_000_000 } }) { taken += it }
        assertTrue(now >= 100_000_000)
        // a round begins with one look at the clock, each run takes three, and one says whether it was the last: 14 ms
        assertEquals(List(8) { 4 }, taken.map { it.size })
    }

    @Test
    fun `a report is whole at every moment and says when it is finished`() {
        val device = Device(mapOf("model" to "X", "thermal_status" to null))
        val report = BenchReport(SmallFacts(), SmallModel(), Startup(null, 3.5), SelfTest(0.01, 0.02, 8), device)
        val early = readJson(report.json()) as Map<*, *>
        assertEquals(false, early["finished"])
        assertEquals(emptyList<Any>(), early["samples_ms"])
        report.samplesMs += doubleArrayOf(1.0, 2.5)
        report.battery += Battery(10, null, -250_000, 31.5)
        report.answers += ClipAnswer("a.wav", Output(floatArrayOf(0.5f, Float.NaN), 0.25f))
        report.memory = Memory(1_000, 500)
        report.finished = true
        val told = readJson(report.json()) as Map<*, *>
        assertEquals(FIELDS, told.keys.toList())
        assertEquals(BENCH_SCHEMA, told["schema"])
        assertEquals(listOf(listOf(1L, 2.5)), told["samples_ms"])
        assertEquals(mapOf("worst" to 0.01, "tolerance" to 0.02, "passed" to true), told["golden"])
        assertEquals(mapOf("at_ms" to 10L, "charge_uah" to null, "current_ua" to -250_000L, "temperature_c" to 31.5), (told["battery"] as List<*>).single())
        assertEquals(mapOf("clip" to "a.wav", "probabilities" to listOf(0.5, null), "uncertainty" to 0.25), (told["answers"] as List<*>).single())
        assertEquals(listOf(null, 3.5, 1_000L, 500L, true), listOf("cold_start_ms", "load_ms", "peak_pss_bytes", "native_heap_bytes", "finished").map { told[it] })
    }

    @Test
    fun `a benchmark that failed says why`() {
        val told = readJson(benchFailure(SmallFacts(), "no \"such\" file")) as Map<*, *>
        assertEquals(listOf("no \"such\" file", false, BENCH_SCHEMA), listOf("error", "finished", "schema").map { told[it] })
    }

    private companion object {
        val FIELDS = listOf(
            "schema", "bundle", "version", "model_sha256", "runtime", "threads", "delegate", "warmup", "samples_ms", "cold_start_ms",
            "load_ms", "peak_pss_bytes", "native_heap_bytes", "golden", "answers", "device", "battery", "finished",
        )
    }
}
