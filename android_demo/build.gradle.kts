// The plugins' versions, for all modules. AGP 9 compiles Kotlin itself, with the Kotlin plugin that is found here.
plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.kotlin.jvm) apply false
}
