// The project's modules: core (plain JVM), model (generated from a bundle) and app.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "edgecomp-demo"

require(file("model/build.gradle.kts").isFile) {
    "there is no model yet: generate the module with `edgecomp embed BUNDLE --android ${rootDir.resolve("model")}`"
}

include(":core", ":model", ":app")
