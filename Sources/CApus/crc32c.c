#include "capus.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

// The reflected polynomial of CRC-32C, 0x1EDC6F41 with its bits in the opposite order.
static const uint32_t polynomial = 0x82F63B78u;

uint32_t capus_crc32c_portable(uint32_t crc, const void *bytes, size_t length) {
    const uint8_t *p = bytes;
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (polynomial & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *bytes, size_t length) {
    const uint8_t *p = bytes;
    uint64_t c = ~crc;
    for (; length >= 8; length -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; length > 0; length--, p++) {
        c = _mm_crc32_u8((uint32_t)c, *p);
    }
    return ~(uint32_t)c;
}

uint32_t capus_crc32c(uint32_t crc, const void *bytes, size_t length) {
    if (__builtin_cpu_supports("sse4.2")) {
        return crc32c_sse42(crc, bytes, length);
    }
    return capus_crc32c_portable(crc, bytes, length);
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

uint32_t capus_crc32c(uint32_t crc, const void *bytes, size_t length) {
    const uint8_t *p = bytes;
    crc = ~crc;
    for (; length >= 8; length -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
    }
    for (; length > 0; length--, p++) {
        crc = __crc32cb(crc, *p);
    }
    return ~crc;
}

#else

uint32_t capus_crc32c(uint32_t crc, const void *bytes, size_t length) {
    return capus_crc32c_portable(crc, bytes, length);
}

#endif
