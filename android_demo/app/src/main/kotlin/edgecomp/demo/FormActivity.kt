// The bundle's questions, before a recording; leaving the screen by Back forgets what was answered.
package edgecomp.demo

import android.app.Activity
import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import edgecomp.core.checkAnswers
import edgecomp.core.faults
import edgecomp.core.readJson
import edgecomp.core.toJson
import edgecomp.model.InUse

class FormActivity : Activity() {
    private val fields = ArrayList<QuestionView>()

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.form)
        val place = findViewById(R.id.questions) as LinearLayout
        for ((at, question) in InUse.questions.withIndex()) {
            val field = QuestionView(this, place, question, FIRST_ID + at * QuestionView.IDS)
            fields += field
            place.addView(field.view)
        }
        (findViewById(R.id.go_on) as Button).setOnClickListener { goOn() }
        (findViewById(R.id.back) as Button).setOnClickListener { finish() }
    }

    private fun goOn() {
        val answers = fields.associate { it.question.id to it.answer }
        val wrong = faults(InUse.questions, answers)
        fields.forEach { it.show(wrong[it.question]) }
        val problem = findViewById(R.id.problem) as TextView
        problem.visibility = if (wrong.isEmpty()) View.GONE else View.VISIBLE
        if (wrong.isNotEmpty()) {
            problem.text = "⚠ " + getString(R.string.faults, wrong.size)
            fields.first { it.question in wrong }.bringTo()
            return
        }
        setResult(RESULT_OK, Intent().putExtra(ANSWERS, toJson(checkAnswers(InUse.questions, answers))))
        finish()
    }

    companion object {
        private const val ANSWERS = "answers"

        /** Below the ids of Android's own tools, which begin at 0x7f000000; the same after a turn of the phone, so that fields keep their content. */
        private const val FIRST_ID = 1_000

        fun intent(context: Context): Intent = Intent(context, FormActivity::class.java)

        /** What the screen was left with, or null where it was left by Back. */
        fun answers(result: Int, data: Intent?): Map<String, Any?>? =
            if (result == RESULT_OK) data?.getStringExtra(ANSWERS)?.let { read(it) } else null

        private fun read(told: String): Map<String, Any?> = (readJson(told) as Map<*, *>).entries.associate { it.key as String to it.value }
    }
}
