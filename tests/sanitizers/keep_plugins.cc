// For programs under LD_PRELOAD: dlclose() that closes nothing. A leak in a plugin that is gone by
// the end of the process has no name, so no suppression could tell it from one of ours.
extern "C" int dlclose(void*) { return 0; }
