// What Swift's Glibc module leaves out: the type of a file system, and what the kernel says of the clock.
#pragma once
#include <sys/timex.h>
#include <sys/vfs.h>
