// The results on this phone, and the button that deletes them.
package edgecomp.demo

import android.app.Activity
import android.app.AlertDialog
import android.os.Bundle
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.ListView
import android.widget.TextView
import edgecomp.core.Result
import java.io.IOException
import java.text.DateFormat
import java.util.Date

class HistoryActivity : Activity() {
    private val store by lazy { HistoryStore(this) }

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.history)
        (findViewById(R.id.delete) as Button).setOnClickListener { askToDelete() }
        show()
    }

    private fun show() {
        val list = findViewById(R.id.results) as ListView
        val note = findViewById(R.id.note) as TextView
        try {
            val history = store.read()
            val results = history.results.reversed()
            list.adapter = ArrayAdapter(this, R.layout.history_row, results.map { line(it) })
            list.setOnItemClickListener { _, _, at, _ -> startActivity(ResultActivity.intent(this, results[at])) }
            note.text = when {
                history.damaged > 0 -> resources.getQuantityString(R.plurals.history_damaged, history.damaged, history.damaged)
                results.isEmpty() -> getString(R.string.history_empty)
                else -> ""
            }
        } catch (why: IOException) {
            note.text = getString(R.string.store_failed, why.message)
        }
    }

    private fun line(result: Result): String {
        val time = DateFormat.getDateTimeInstance(DateFormat.MEDIUM, DateFormat.SHORT).format(Date(result.atMs))
        if (result.reason != null) return getString(R.string.history_ask, time)
        return getString(R.string.history_answer, time, result.label, ResultActivity.percent(result))
    }

    private fun askToDelete() {
        AlertDialog.Builder(this)
            .setMessage(R.string.delete_sure)
            .setPositiveButton(R.string.delete) { _, _ ->
                store.deleteAll()
                show()
            }
            .setNegativeButton(R.string.cancel, null)
            .show()
    }
}
