// Benchmark mode, for adb only: run the bundle many times and write a report that is whole after every round.
package edgecomp.demo

import android.app.Activity
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.os.SystemClock
import android.util.Log
import android.view.WindowManager
import android.widget.TextView
import edgecomp.core.AudioError
import edgecomp.core.BenchReport
import edgecomp.core.ClipAnswer
import edgecomp.core.Model
import edgecomp.core.ModelError
import edgecomp.core.Recording
import edgecomp.core.Startup
import edgecomp.core.benchFailure
import edgecomp.core.readRaw
import edgecomp.core.readWav
import edgecomp.core.timeRounds
import edgecomp.model.InUse
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import kotlin.concurrent.thread

/**
 * `adb shell am start -n edgecomp.demo/.BenchActivity --es bench NAME --ei runs N --es out FILE.json`
 *
 * android_demo/README.md lists all extras. The report lies in this app's own folder on the shared storage, where adb may
 * read and push.
 */
class BenchActivity : Activity() {
    private val main = Handler(Looper.getMainLooper())

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.bench)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        val folder = getExternalFilesDir(null)
        val out = intent.getStringExtra("out") ?: "bench.json"
        if (folder == null || !NAME.matches(out)) {
            say(getString(R.string.bench_failed, "out: $out"))
            return
        }
        thread(name = "bench") { bench(Wish(intent), folder, File(folder, out)) }
    }

    private fun bench(wish: Wish, folder: File, out: File) {
        try {
            wish.fault()?.let { throw ModelError(it) }
            measure(wish, folder, out)
            main.post { say(getString(R.string.bench_done, out.path)) }
        } catch (why: Exception) { // whatever it was, the desk that waits for the file must learn of it
            Log.e("edgecomp", "benchmark", why)
            try {
                write(out, benchFailure(InUse, "${why.message}"))
            } catch (again: IOException) {
                Log.e("edgecomp", "report", again)
            }
            main.post { say(getString(R.string.bench_failed, "${why.message}")) }
        }
    }

    private fun measure(wish: Wish, folder: File, out: File) {
        val isCold = !wasUsed
        wasUsed = true
        val from = SystemClock.elapsedRealtimeNanos()
        load(wish, folder).use { model ->
            val loadMs = (SystemClock.elapsedRealtimeNanos() - from) / 1e6
            val golden = InUse.goldenWaves(applicationContext)
            model.run(golden.first())
            val started = processStartedMs()
            val coldMs = if (!isCold || started == null) null else (SystemClock.elapsedRealtime() - started).toDouble()
            val phone = PhoneFacts(applicationContext)
            val test = if (wish.model == null) InUse.selfTest(applicationContext, model) else null
            val report = BenchReport(InUse, model, Startup(coldMs, loadMs), test, phone.device(), wish.model ?: InUse.modelSha256)
            val pushed = pushed(File(folder, wish.clips))
            pushed.mapTo(report.answers) { (clip, wave) -> ClipAnswer(clip, model.run(wave)) }
            keep(report, phone, out)
            timeRounds(model, pushed.map { it.second }.ifEmpty { golden }, wish.effort) { durations ->
                report.samplesMs += durations
                keep(report, phone, out)
                main.post { say(getString(R.string.bench_round, report.samplesMs.size)) }
            }
            report.finished = true
            write(out, report.json())
        }
    }

    private fun load(wish: Wish, folder: File): Model {
        val threads = wish.threads ?: InUse.threads
        if (wish.model == null) return InUse.load(applicationContext, threads, wish.delegate)
        val file = File(folder, "models/${wish.model}.${File(InUse.modelFile).extension}")
        InUse.reportNothing()
        return InUse.loadFile(file, wish.model, threads, wish.delegate)
    }

    private fun keep(report: BenchReport, phone: PhoneFacts, out: File) {
        report.battery += phone.battery()
        report.memory = phone.memory()
        write(out, report.json())
    }

    /** The clips that adb pushed, by name, each as the model takes it. */
    private fun pushed(folder: File): List<Pair<String, FloatArray>> {
        val files = folder.listFiles { file -> file.extension in listOf("wav", "f32") } ?: return emptyList()
        return files.sortedBy { it.name }.map { file ->
            try {
                file.name to waveform(file)
            } catch (why: AudioError) {
                throw AudioError("${file.name}: ${why.message}")
            }
        }
    }

    private fun waveform(file: File): FloatArray {
        if (file.extension == "f32") return readRaw(file.readBytes(), InUse.samples)
        val wave = readWav(file.readBytes())
        return Recording(InUse, wave.rateHz).also { it.push(wave.samples) }.finish()
    }

    /** Whoever reads the report meets the old one or the new one, never half of one. */
    private fun write(out: File, text: String) {
        val fresh = File(out.path + ".new")
        FileOutputStream(fresh).use {
            it.write(text.toByteArray())
            it.fd.sync()
        }
        if (!fresh.renameTo(out)) throw IOException("${fresh.name} cannot be renamed to ${out.name}")
    }

    private fun say(text: String) {
        (findViewById(R.id.status) as TextView).text = text
    }

    private companion object {
        /** A name, so that a report goes nowhere but into the app's own folder. */
        val NAME = Regex("[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")

        /** Whether this process has run a benchmark before; its start is then no cold one. */
        var wasUsed = Engine.isLoaded
    }
}
