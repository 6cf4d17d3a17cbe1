// The history's file: on this phone only, one line a result.
package edgecomp.demo

import android.content.Context
import edgecomp.core.History
import edgecomp.core.Result
import edgecomp.core.readHistory
import edgecomp.core.toLine
import java.io.File
import java.io.FileOutputStream

/** Results in the app's private folder; every method may raise IOException. */
class HistoryStore(context: Context) {
    private val file = File(context.filesDir, "results.jsonl")

    /** Append a result, and see it on the storage before returning. */
    fun add(result: Result) {
        FileOutputStream(file, true).use {
            // A line that a dead battery cut off must not swallow this one.
            it.write("${if (endsMidLine()) "\n" else ""}${result.toLine()}\n".toByteArray())
            it.fd.sync()
        }
    }

    fun read(): History = if (file.exists()) file.useLines { readHistory(it) } else History(emptyList(), 0)

    fun deleteAll(): Boolean = !file.exists() || file.delete()

    private fun endsMidLine(): Boolean {
        if (file.length() == 0L) return false
        return java.io.RandomAccessFile(file, "r").use {
            it.seek(it.length() - 1)
            it.read() != '\n'.code
        }
    }
}
