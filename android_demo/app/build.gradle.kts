// The app: plain Android views, no library beside the generated model's runtime.
plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "edgecomp.demo"
    compileSdk { version = release(37) }

    defaultConfig {
        applicationId = "edgecomp.demo"
        minSdk = 24
        targetSdk = 37
        versionCode = 1
        versionName = "1.0"
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    // Model and golden clips must lie in the package as they are, so that the model can be mapped into memory.
    androidResources {
        noCompress += listOf("tflite", "onnx", "wav")
    }

    lint {
        error += "MissingTranslation"
    }
}

dependencies {
    implementation(project(":model"))
}
