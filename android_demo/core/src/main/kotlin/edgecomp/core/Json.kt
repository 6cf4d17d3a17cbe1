// JSON without a library: a writer and a strict reader for small documents (results, history, golden answers).
package edgecomp.core

/** Text that is not JSON, and where it stops being so. */
class JsonError(what: String, at: Int) : IllegalArgumentException("$what at character $at")

/** Write maps, lists, strings, numbers, booleans and null; what JSON has no number for becomes null. */
fun toJson(value: Any?): String = StringBuilder().also { write(value, it) }.toString()

/** Read one JSON document: objects become maps in order, numbers Double or Long. Raises [JsonError]. */
fun readJson(text: String): Any? {
    val reader = JsonReader(text)
    val value = reader.value(0)
    reader.end()
    return value
}

private fun write(value: Any?, out: StringBuilder) {
    when (value) {
        null -> out.append("null")
        is String -> quote(value, out)
        is Boolean, is Int, is Long -> out.append(value)
        is Float -> out.append(if (value.isFinite()) shortest(value.toString()) else "null")
        is Double -> out.append(if (value.isFinite()) shortest(value.toString()) else "null")
        is Map<*, *> -> list(value.entries, '{', '}', out) { quote(it.key.toString(), out); out.append(':'); write(it.value, out) }
        is Iterable<*> -> list(value, '[', ']', out) { write(it, out) }
        is FloatArray -> list(value.asIterable(), '[', ']', out) { write(it, out) }
        is DoubleArray -> list(value.asIterable(), '[', ']', out) { write(it, out) }
        else -> throw IllegalArgumentException("${value.javaClass.name} has no JSON form")
    }
}

private fun shortest(number: String) = if (number.endsWith(".0")) number.dropLast(2) else number

private fun <T> list(items: Iterable<T>, open: Char, close: Char, out: StringBuilder, each: (T) -> Unit) {
    out.append(open)
    items.forEachIndexed { at, item ->
        if (at > 0) out.append(',')
        each(item)
    }
    out.append(close)
}

private fun quote(text: String, out: StringBuilder) {
    out.append('"')
    for (one in text) {
        when {
            one == '"' -> out.append("\\\"")
            one == '\\' -> out.append("\\\\")
            one == '\n' -> out.append("\\n")
            one < ' ' || one == '\u2028' || one == '\u2029' -> out.append(String.format("\\u%04x", one.code))
            else -> out.append(one)
        }
    }
    out.append('"')
}

/** A damaged document must end in a message and never in a crash, so depth is bounded as well. */
private const val DEEPEST = 64

private class JsonReader(private val text: String) {
    private var at = 0

    fun value(depth: Int): Any? {
        if (depth > DEEPEST) throw JsonError("nested more than $DEEPEST deep", at)
        blank()
        return when (peek()) {
            '{' -> members(depth)
            '[' -> items(depth)
            '"' -> string()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> number()
        }
    }

    fun end() {
        blank()
        if (at < text.length) throw JsonError("something follows the document", at)
    }

    private fun members(depth: Int): Map<String, Any?> {
        val found = LinkedHashMap<String, Any?>()
        at++
        blank()
        if (peek() == '}') return found.also { at++ }
        while (true) {
            blank()
            if (peek() != '"') throw JsonError("a name is missing", at)
            val name = string()
            blank()
            if (peek() != ':') throw JsonError("':' is missing", at)
            at++
            found[name] = value(depth + 1)
            if (!goesOn('}')) return found
        }
    }

    private fun items(depth: Int): List<Any?> {
        val found = ArrayList<Any?>()
        at++
        blank()
        if (peek() == ']') return found.also { at++ }
        while (true) {
            found += value(depth + 1)
            if (!goesOn(']')) return found
        }
    }

    private fun goesOn(close: Char): Boolean {
        blank()
        val one = peek()
        if (one != ',' && one != close) throw JsonError("',' or '$close' is missing", at)
        at++
        return one == ','
    }

    private fun string(): String {
        val out = StringBuilder()
        at++
        while (true) {
            when (val one = peek()) {
                '"' -> return out.toString().also { at++ }
                '\\' -> out.append(escaped())
                else -> {
                    if (one < ' ') throw JsonError("a control character in a string", at)
                    out.append(one)
                    at++
                }
            }
        }
    }

    private fun escaped(): Char {
        at++
        val one = peek()
        at++
        return when (one) {
            '"', '\\', '/' -> one
            'b' -> '\b'
            'f' -> '\u000c'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                val digits = text.substring(at, minOf(at + 4, text.length))
                if (digits.length < 4 || digits.any { it.digitToIntOrNull(16) == null }) throw JsonError("four hex digits are missing", at)
                at += 4
                digits.toInt(16).toChar()
            }
            else -> throw JsonError("unknown escape \\$one", at - 1)
        }
    }

    private fun number(): Any {
        val from = at
        while (at < text.length && text[at] in "+-.eE0123456789") at++
        val read = text.substring(from, at)
        if (!NUMBER.matches(read)) throw JsonError("no value", from)
        return if (read.any { it in ".eE" }) read.toDouble() else read.toLongOrNull() ?: read.toDouble()
    }

    private fun <T> word(expected: String, value: T): T {
        if (!text.startsWith(expected, at)) throw JsonError("no value", at)
        at += expected.length
        return value
    }

    private fun peek(): Char = if (at < text.length) text[at] else throw JsonError("the text ends too early", at)

    private fun blank() {
        while (at < text.length && text[at] in " \t\r\n") at++
    }

    private companion object {
        val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
    }
}
