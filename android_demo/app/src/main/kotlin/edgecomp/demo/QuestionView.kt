// One question on the screen: large fields with their own words for TalkBack, and what is wrong with the answer beside them.
package edgecomp.demo

import android.app.Activity
import android.graphics.Rect
import android.text.Editable
import android.text.InputType
import android.text.TextWatcher
import android.view.View
import android.view.ViewGroup
import android.view.accessibility.AccessibilityNodeInfo
import android.widget.EditText
import android.widget.FrameLayout
import android.widget.RadioButton
import android.widget.RadioGroup
import android.widget.TextView
import edgecomp.core.Fault
import edgecomp.core.Figure
import edgecomp.core.Question
import edgecomp.core.readNumber

/** @param id of the first of the [IDS] views whose content Android keeps when the phone is turned */
class QuestionView(private val activity: Activity, parent: ViewGroup, val question: Question, private val id: Int) {
    private val spoken = Spoken(activity)
    private val title = spoken.title(question)
    val view: View = activity.layoutInflater.inflate(R.layout.question, parent, false)
    private val options: List<Pair<Any?, String>> = spoken.options(question)
    private val input: View = if (question is Figure) number(question) else buttons()

    init {
        (view.findViewById(R.id.field) as FrameLayout).addView(input)
        val label = view.findViewById(R.id.text) as TextView
        label.text = title
        label.labelFor = input.id
        val help = view.findViewById(R.id.help) as TextView
        question.help?.let {
            help.text = it.said(spoken.language)
            help.visibility = View.VISIBLE
        }
    }

    /** What is filled in; a text that is no number stays one, which answers nothing, and an untouched question is null. */
    val answer: Any?
        get() {
            if (input is RadioGroup) return options.getOrNull(input.checkedRadioButtonId - id - 1)?.first
            val typed = (input as EditText).text.toString()
            return if (typed.isBlank()) null else readNumber(typed) ?: typed
        }

    /** Say what is wrong, or nothing; a new answer is not called wrong before it was looked at. */
    fun show(fault: Fault?) {
        val place = view.findViewById(R.id.fault) as TextView
        place.visibility = if (fault == null) View.GONE else View.VISIBLE
        if (fault != null) place.text = spoken.fault(question, fault)
    }

    /** Bring eyes, keys and TalkBack here. */
    fun bringTo() {
        val first = if (input is RadioGroup) input.getChildAt(0) else input
        first.requestFocus()
        view.requestRectangleOnScreen(Rect(0, 0, view.width, view.height))
        first.performAccessibilityAction(AccessibilityNodeInfo.ACTION_ACCESSIBILITY_FOCUS, null)
    }

    private fun buttons(): RadioGroup {
        val group = RadioGroup(activity)
        group.id = id
        for ((at, option) in options.withIndex()) {
            val button = RadioButton(activity)
            button.id = id + 1 + at
            button.text = option.second
            button.textSize = TEXT_SP
            button.minHeight = dp(TOUCH_DP)
            // Whoever finds a button by touch hears which question it answers.
            button.contentDescription = "$title ${option.second}"
            group.addView(button, RadioGroup.LayoutParams(RadioGroup.LayoutParams.MATCH_PARENT, RadioGroup.LayoutParams.WRAP_CONTENT))
        }
        group.setOnCheckedChangeListener { _, _ -> show(null) }
        return group
    }

    private fun number(asked: Figure): EditText {
        val input = EditText(activity)
        input.id = id
        input.textSize = TEXT_SP
        input.minHeight = dp(TOUCH_DP)
        input.maxLines = 1
        val decimal = if (asked.decimals > 0) InputType.TYPE_NUMBER_FLAG_DECIMAL else 0
        val signed = if (asked.min < 0) InputType.TYPE_NUMBER_FLAG_SIGNED else 0
        input.inputType = InputType.TYPE_CLASS_NUMBER or decimal or signed
        input.addTextChangedListener(object : TextWatcher {
            override fun beforeTextChanged(text: CharSequence, start: Int, count: Int, after: Int) = Unit
            override fun onTextChanged(text: CharSequence, start: Int, before: Int, count: Int) = Unit
            override fun afterTextChanged(text: Editable) = show(null)
        })
        return input
    }

    private fun dp(size: Int) = (activity.resources.displayMetrics.density * size).toInt()

    companion object {
        /** How many ids a question may use: its group's, and one for each option. */
        const val IDS = 100

        /** Above Android's least height of what is touched, 48. */
        const val TOUCH_DP = 56
        const val TEXT_SP = 18f
    }
}
