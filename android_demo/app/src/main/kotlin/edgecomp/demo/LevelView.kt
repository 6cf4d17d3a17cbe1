// A bar that grows with the loudness; the word beside it says the same to those who do not see it.
package edgecomp.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import edgecomp.core.QUIETEST_DB

/** Draws a level in dB below full scale, in the text's own colour. */
class LevelView @JvmOverloads constructor(context: Context, attributes: AttributeSet? = null) : View(context, attributes) {
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG)

    init {
        val theme = context.obtainStyledAttributes(intArrayOf(android.R.attr.textColorPrimary))
        paint.color = theme.getColor(0, Color.GRAY)
        paint.strokeWidth = resources.displayMetrics.density * 2
        theme.recycle()
    }

    var db: Float = QUIETEST_DB
        set(value) {
            field = value
            invalidate()
        }

    override fun onDraw(canvas: Canvas) {
        val share = 1 - db / QUIETEST_DB
        paint.style = Paint.Style.STROKE
        canvas.drawRect(0f, 0f, width.toFloat(), height.toFloat(), paint)
        paint.style = Paint.Style.FILL
        canvas.drawRect(0f, 0f, width * share, height.toFloat(), paint)
    }
}
