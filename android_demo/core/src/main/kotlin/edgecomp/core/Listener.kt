// Live listening: windows over a stream, pooled, smoothed and decided; a gap in the stream begins everything anew.
package edgecomp.core

/**
 * What was heard in one window.
 *
 * @property firstSample where the window begins, in samples of the resampled stream since the beginning or the last gap
 * @property changed whether this outcome has held long enough to be announced, and was not announced last
 */
class Heard(val firstSample: Long, val outcome: Outcome, val changed: Boolean)

/**
 * Listens to a stream of any rate; however it is cut, the same is heard.
 *
 * source: rule 5 of docs/embedding.md
 * @param pool windows whose answers are averaged
 * @param hold how often an outcome must come in a row before it is announced
 */
class Listener(
    private val facts: Facts,
    private val rateHz: Int,
    private val pool: Int = 3,
    private val hold: Int = 1,
    private val ask: (FloatArray) -> Output,
) {
    private val windows = Windows(facts.samples, facts.hopSamples)
    private var resampler = Resampler(rateHz, facts.sampleRateHz)
    private val pooled = ArrayDeque<Output>()
    private var last: String? = null
    private var inARow = 0
    private var announced: String? = null

    init {
        require(pool >= 1) { "pool is $pool; it must be at least 1" }
        require(hold >= 1) { "hold is $hold; it must be at least 1" }
    }

    /** Take any number of samples; return what was heard in them, in order. */
    fun push(chunk: FloatArray): List<Heard> {
        requireFinite(chunk)
        return windows.push(resampler.push(chunk)).map { heard(it) }
    }

    /** Say that samples are missing before the next chunk: no window spans them. What was announced stays. */
    fun gap() {
        resampler = Resampler(rateHz, facts.sampleRateHz)
        windows.clear()
        pooled.clear()
        last = null
        inARow = 0
    }

    private fun heard(window: Window): Heard {
        pooled.addLast(ask(window.samples))
        if (pooled.size > pool) pooled.removeFirst()
        val outcome = facts.rule.outcome(mean(pooled))
        val key = (outcome as? Answer)?.let { "answer ${it.label}" } ?: "ask"
        inARow = if (key == last) inARow + 1 else 1
        last = key
        val changed = inARow >= hold && key != announced
        if (changed) announced = key
        return Heard(window.firstSample, outcome, changed)
    }
}

/** The mean of some answers, oldest first, in double. */
fun mean(outputs: Collection<Output>): Output {
    require(outputs.isNotEmpty()) { "no outputs" }
    val sums = DoubleArray(outputs.first().probabilities.size)
    var uncertainty = 0.0
    for (one in outputs) {
        for (at in sums.indices) sums[at] += one.probabilities[at].toDouble()
        uncertainty += one.uncertainty
    }
    return Output(FloatArray(sums.size) { (sums[it] / outputs.size).toFloat() }, (uncertainty / outputs.size).toFloat())
}

/** Some samples of a stream; [firstSample] counts from its beginning. */
class Window(val firstSample: Long, val samples: FloatArray)

/** Cuts a stream into windows of a length, one after every hop. */
class Windows(private val samples: Int, private val hopSamples: Int) {
    private var kept = FloatArray(0)
    private var keptFrom = 0L
    private var next = 0L

    init {
        require(samples >= 1 && hopSamples in 1..samples) { "windows of $samples samples with a hop of $hopSamples" }
    }

    fun push(chunk: FloatArray): List<Window> {
        kept += chunk
        val made = ArrayList<Window>()
        while (next - keptFrom + samples <= kept.size) {
            val from = (next - keptFrom).toInt()
            made += Window(next, kept.copyOfRange(from, from + samples))
            next += hopSamples
        }
        val gone = minOf(next - keptFrom, kept.size.toLong()).toInt()
        kept = kept.copyOfRange(gone, kept.size)
        keptFrom += gone
        return made
    }

    fun clear() {
        kept = FloatArray(0)
        keptFrom = 0
        next = 0
    }
}
