/* Which of the kernels' paths this processor has. */
#include <string.h>

#include "conv.h"

Convolve convolve_for(const char *name) {
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    int vbmi = avx512 && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
    if (vbmi && (!name || !strcmp(name, "avx512mixed"))) return convolve_mixed;
    if (vbmi && !strcmp(name, "avx512vbmi")) return convolve_tables;
    if (avx512 && (!name || !strcmp(name, "avx512"))) return convolve_avx512;
    if (avx2 && (!name || !strcmp(name, "avx2"))) return convolve_avx2;
#elif defined(__aarch64__)
    if (!name || !strcmp(name, "neon")) return convolve_neon;
#endif
    return !name || !strcmp(name, "portable") ? convolve_portable : NULL;
}

enum layout layout_of(Convolve convolve) {
#if defined(__x86_64__)
    if (convolve == convolve_mixed) return MIXED;
    if (convolve == convolve_avx2) return CLOSE_ROWS;
    return convolve == convolve_tables ? TABLES : convolve == convolve_avx512 ? CLOSE : ROWS;
#else
    return (void)convolve, ROWS;
#endif
}
