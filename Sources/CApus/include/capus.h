#ifndef CAPUS_H
#define CAPUS_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `length` bytes at `bytes`, continuing from `crc`.
/// Start with 0; feeding a string in pieces gives the same result as feeding it at once.
/// Uses the CPU's instruction where there is one (SSE 4.2, ARMv8 CRC), else bit by bit.
uint32_t capus_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The portable version, whatever the CPU can do: the test compares the two.
uint32_t capus_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

#endif
