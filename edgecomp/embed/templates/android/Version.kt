// @NOTE@
package edgecomp.@PACKAGE@

import edgecomp.core.Choice
import edgecomp.core.Figure
import edgecomp.core.Fit
import edgecomp.core.Model
import edgecomp.core.Option
import edgecomp.core.Question
import edgecomp.core.Rule
import edgecomp.core.Words
import edgecomp.core.YesNo
import edgecomp.model.Bundle
import java.nio.ByteBuffer

/** @SUMMARY@ */
object @CLASS@ : Bundle() {
    override val name = @NAME@
    override val summary = @SUMMARY_TEXT@
    override val version = @VERSION@
    override val bundleHash = @BUNDLE_HASH@

    /** What the model hears: mono, −1 to 1. */
    override val sampleRateHz = @SAMPLE_RATE@
    override val samples = @SAMPLES@
    override val hopSamples = @HOP@
    override val fit = Fit.@FIT@

    override val rule = Rule(
        labels = listOf(@LABELS@),
        positive = @POSITIVE@,
        threshold = @THRESHOLD@,
        askAbove = @ASK_ABOVE@,
    )

    override val threads = @THREADS@
    override val modelFile = @MODEL_FILE@
    override val modelBytes = @MODEL_BYTES@L
    override val modelSha256 = @MODEL_SHA256@
    override val goldenSha256 = @GOLDEN_SHA256@
    override val questions: List<Question> = listOf(@QUESTIONS@
    )

    override val assets = @ASSETS@

    override fun open(file: ByteBuffer, threads: Int, delegate: String): Model = @OPENER@(this, file, threads, delegate)
}
