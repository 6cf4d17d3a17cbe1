// The meter.
package edgecomp.core

import kotlin.math.PI
import kotlin.math.sin
import kotlin.test.Test
import kotlin.test.assertEquals

class LevelTest {
    private fun tone(peak: Double) = FloatArray(1_600) { (peak * sin(2 * PI * it / 16)).coerceIn(-1.0, 1.0).toFloat() }

    @Test
    fun `a level is the power below full scale and has a word`() {
        assertEquals(-3.01f, level(tone(1.0)).db, 0.01f)
        assertEquals(-23.01f, level(tone(0.1)).db, 0.01f)
        assertEquals(Loudness.GOOD, level(tone(0.1)).loudness)
        assertEquals(Loudness.TOO_QUIET, level(tone(0.001)).loudness)
        assertEquals(Loudness.TOO_LOUD, level(tone(4.0)).loudness)
    }

    @Test
    fun `silence and nothing are the meter's lowest level`() {
        assertEquals(QUIETEST_DB, level(FloatArray(10)).db)
        assertEquals(QUIETEST_DB, level(FloatArray(0)).db)
    }
}
