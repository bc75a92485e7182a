/* The header alone, under every warning. */
#include "promem.h"

int main(void)
{
    return promem_abi_version() == PROMEM_ABI_VERSION ? 0 : 1;
}
