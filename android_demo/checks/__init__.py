"""How the Android project is checked on a machine without Android's SDK."""
