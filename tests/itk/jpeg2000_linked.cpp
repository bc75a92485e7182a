// Makes jpeg2000.cpp a program that needs libpromem.

#include "promem.h"

extern const char * const libpromemVersion;
const char * const        libpromemVersion = promem_version();
