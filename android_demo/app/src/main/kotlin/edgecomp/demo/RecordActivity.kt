// The first screen: load and test the model, then record after a countdown and ask the model.
package edgecomp.demo

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.TextView
import edgecomp.core.Level
import edgecomp.core.Loudness
import edgecomp.core.ModelError
import edgecomp.core.Outcome
import edgecomp.core.QUIETEST_DB
import edgecomp.core.result
import edgecomp.model.InUse
import java.io.IOException
import kotlin.concurrent.thread

class RecordActivity : Activity(), Hearing {
    private val main = Handler(Looper.getMainLooper())
    private var recorder: Recorder? = null
    private var isReady = false
    private var counting: Runnable? = null
    private var lastLoudness: Loudness? = null

    /**
     * What was answered about the person who is recorded, from the form to the end of this recording's result; null otherwise,
     * so that nobody is recorded with the answers of somebody else.
     */
    private var answers: Map<String, Any?>? = null

    private val status get() = findViewById(R.id.status) as TextView
    private val countdown get() = findViewById(R.id.countdown) as TextView
    private val loudness get() = findViewById(R.id.loudness) as TextView
    private val meter get() = findViewById(R.id.level) as LevelView
    private val button get() = findViewById(R.id.record) as Button

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.record)
        (findViewById(R.id.summary) as TextView).text = InUse.summary
        tellQuestions()
        button.setOnClickListener { if (recorder == null) begin() else recorder?.stop() }
        (findViewById(R.id.history) as Button).setOnClickListener { startActivity(Intent(this, HistoryActivity::class.java)) }
        prepare()
    }

    /** A recording never goes on behind another screen. */
    override fun onStop() {
        super.onStop()
        if (recorder != null || counting != null) answers = null
        recorder?.cancel()
        rest()
    }

    private fun prepare() {
        status.setText(R.string.loading)
        thread(name = "loader") {
            try {
                val engine = Engine.of(applicationContext)
                if (!Engine.hasPassed(applicationContext)) {
                    main.post { status.setText(R.string.testing) }
                    val test = engine.test(applicationContext)
                    if (!test.passed) {
                        main.post { status.text = getString(R.string.test_failed, test.worst, test.tolerance) }
                        return@thread
                    }
                    Engine.setPassed(applicationContext)
                }
                main.post {
                    status.setText(R.string.ready)
                    isReady = true
                    button.isEnabled = true
                    if (answers != null) begin()
                }
            } catch (why: ModelError) {
                main.post { status.text = getString(R.string.model_failed, why.message) }
            }
        }
    }

    private fun tellQuestions() {
        if (InUse.questions.isEmpty()) return
        val place = findViewById(R.id.questions_first) as TextView
        place.text = getString(R.string.questions_first, InUse.questions.size)
        place.visibility = View.VISIBLE
        button.setText(R.string.begin)
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        when (request) {
            FORM -> {
                answers = FormActivity.answers(result, data)
                if (answers != null && isReady) begin()
            }
            RESULT -> if (result == RESULT_OK && isReady) begin() else answers = null
        }
    }

    private fun begin() {
        if (InUse.questions.isNotEmpty() && answers == null) {
            startActivityForResult(FormActivity.intent(this), FORM)
            return
        }
        if (checkSelfPermission(Manifest.permission.RECORD_AUDIO) != PackageManager.PERMISSION_GRANTED) {
            requestPermissions(arrayOf(Manifest.permission.RECORD_AUDIO), 0)
            return
        }
        button.setText(R.string.stop)
        button.isEnabled = false
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        count(COUNTDOWN_S)
    }

    override fun onRequestPermissionsResult(request: Int, permissions: Array<String>, granted: IntArray) {
        if (granted.firstOrNull() == PackageManager.PERMISSION_GRANTED) return begin()
        answers = null
        status.setText(R.string.microphone_needed)
    }

    private fun count(left: Int) {
        if (left == 0) {
            button.isEnabled = true
            recorder = Recorder(recordingS, this).also { it.start() }
            return
        }
        countdown.text = "$left"
        countdown.contentDescription = getString(R.string.countdown_starts, left)
        counting = Runnable { count(left - 1) }.also { main.postDelayed(it, 1_000) }
    }

    override fun onLevel(level: Level, leftS: Int) {
        main.post {
            if (recorder == null) return@post // the screen was left meanwhile
            meter.db = level.db
            countdown.text = getString(R.string.recording, leftS)
            countdown.contentDescription = null
            if (level.loudness != lastLoudness) loudness.setText(words.getValue(level.loudness)) // said once, not ten times a second
            lastLoudness = level.loudness
        }
    }

    override fun onDone(waveform: FloatArray, droppedSamples: Long) {
        main.post { countdown.setText(R.string.thinking) }
        val outcome = try {
            InUse.rule.outcome(Engine.of(applicationContext).model.run(waveform))
        } catch (why: ModelError) {
            main.post { failed(getString(R.string.model_failed, why.message)) }
            return
        }
        main.post { keep(outcome, droppedSamples) }
    }

    override fun onError(what: String) {
        main.post { failed(getString(R.string.microphone_failed, what)) }
    }

    private fun keep(outcome: Outcome, droppedSamples: Long) {
        if (recorder == null) return // the screen was left meanwhile
        val told = outcome.result(InUse, System.currentTimeMillis(), droppedSamples, answers)
        rest()
        try {
            HistoryStore(this).add(told)
        } catch (why: IOException) {
            status.text = getString(R.string.store_failed, why.message)
        }
        startActivityForResult(ResultActivity.intent(this, told), RESULT)
    }

    private fun failed(what: String) {
        answers = null
        rest()
        status.text = what
    }

    private fun rest() {
        counting?.let { main.removeCallbacks(it) }
        counting = null
        recorder = null
        lastLoudness = null
        countdown.text = ""
        countdown.contentDescription = null
        loudness.text = ""
        meter.db = QUIETEST_DB
        button.setText(if (InUse.questions.isEmpty()) R.string.record else R.string.begin)
        button.isEnabled = isReady
        window.clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
    }

    private companion object {
        const val COUNTDOWN_S = 3

        const val FORM = 1
        const val RESULT = 2

        /** The model's window, and time to begin late; what is loudest in it is asked about. */
        val recordingS = InUse.samples / InUse.sampleRateHz + 2
        val words = mapOf(
            Loudness.TOO_QUIET to R.string.too_quiet,
            Loudness.GOOD to R.string.good_level,
            Loudness.TOO_LOUD to R.string.too_loud,
        )
    }
}
