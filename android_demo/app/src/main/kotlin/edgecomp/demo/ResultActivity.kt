// The result: an answer, or to ask; told apart by sign, word and frame, never by colour alone.
package edgecomp.demo

import android.app.Activity
import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import edgecomp.core.Reason
import edgecomp.core.Result
import edgecomp.core.readHistory
import edgecomp.core.toLine
import edgecomp.model.InUse
import kotlin.math.roundToInt

class ResultActivity : Activity() {
    /** Only the screen that has just recorded waits for what is done here. */
    private val isFromHistory get() = callingActivity == null

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.result)
        (findViewById(R.id.next) as Button).setOnClickListener { finish() }
        (findViewById(R.id.again) as Button).setOnClickListener {
            setResult(RESULT_OK) // the same person: the answers are taken over, and the recording begins
            finish()
        }
        if (isFromHistory) (findViewById(R.id.again) as Button).setText(R.string.back)
        val told = intent.getStringExtra(RESULT)
        val result = if (told == null) null else readHistory(sequenceOf(told)).results.firstOrNull()
        if (result == null) finish() else show(result)
    }

    private fun show(result: Result) {
        val reason = result.reason
        val detail = if (reason == null) getString(R.string.probability, percent(result)) else getString(words.getValue(reason))
        val frame = findViewById(R.id.frame) as LinearLayout
        if (reason == null) {
            frame.setBackgroundResource(R.drawable.answer_frame)
            frame.contentDescription = getString(R.string.spoken_answer, result.label, detail)
            write(R.id.sign, "✓")
            write(R.id.kind, getString(R.string.kind_answer))
            write(R.id.word, result.label)
        } else { // the model's own guess is not shown: whoever reads it would take it for an answer
            frame.setBackgroundResource(R.drawable.ask_frame)
            frame.contentDescription = getString(R.string.spoken_ask, detail)
            write(R.id.sign, "?")
            write(R.id.kind, getString(R.string.kind_ask))
            write(R.id.word, getString(R.string.ask_word))
        }
        write(R.id.detail, detail)
        showAnswers(result)
        write(R.id.about, getString(R.string.about_result, result.bundle, result.version))
        val dropped = findViewById(R.id.dropped) as TextView
        dropped.visibility = if (result.droppedSamples > 0) View.VISIBLE else View.GONE
        dropped.text = getString(R.string.dropped, result.droppedSamples)
    }

    private fun showAnswers(result: Result) {
        val answers = result.answers ?: return
        val spoken = Spoken(this)
        listOf(R.id.answers_note, R.id.answers).forEach { findViewById(it).visibility = View.VISIBLE }
        if (!isFromHistory) {
            findViewById(R.id.next).visibility = View.VISIBLE
            (findViewById(R.id.again) as Button).setText(R.string.same_person)
        }
        write(R.id.answers_text, answers.entries.joinToString("\n") { spoken.line(InUse.questions, it.key, it.value) })
    }

    private fun write(id: Int, text: String) {
        (findViewById(id) as TextView).text = text
    }

    companion object {
        private const val RESULT = "result"
        private val words = mapOf(
            Reason.UNSURE.word to R.string.reason_unsure,
            Reason.ALWAYS.word to R.string.reason_always,
            Reason.NOT_A_NUMBER.word to R.string.reason_not_a_number,
        ).withDefault { R.string.reason_not_a_number }

        fun intent(context: Context, result: Result): Intent =
            Intent(context, ResultActivity::class.java).putExtra(RESULT, result.toLine())

        fun percent(result: Result): Int = if (result.probability.isNaN()) 0 else (100 * result.probability).roundToInt()
    }
}
