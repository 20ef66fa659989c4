// Gives the precompiled header a target that compiles it.
