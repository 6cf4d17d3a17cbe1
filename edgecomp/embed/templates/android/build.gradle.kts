// @NOTE@
plugins {
    id("com.android.library")
}

// Beside the demo app the core is a module of its own, with its tests; elsewhere its sources, which lie here too, are used.
val core = providers.gradleProperty("edgecomp.core").orNull

android {
    namespace = "edgecomp.model"
    compileSdk { version = release(37) }

    defaultConfig {
        minSdk = 24
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    if (core == null) sourceSets["main"].kotlin.directories.add("src/core/kotlin")
}

// Each version brings the file that opens its format, so the runtimes follow from what lies here.
val openers = fileTree("src/main/kotlin").files.map { it.name }.toSet()

dependencies {
    if (core != null) api(project(core))
    if ("LiteRtModel.kt" in openers) implementation("com.google.ai.edge.litert:litert:@LITERT@")
    if ("OrtModel.kt" in openers) implementation("com.microsoft.onnxruntime:onnxruntime-android:@ORT@")
}
