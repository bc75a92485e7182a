// Compiled against a promem.h whose interface is not the library's: the first constructor must say so.
#include "promem.hpp"

#include <cstdio>

int main() try {
    const promem::Model model;
    return std::puts("a library of another interface was accepted"), 1;
} catch (const promem::Error &error) {
    std::puts(error.what());
    return error.status() == PROMEM_UNSUPPORTED && std::string(error.what()).find("interface") != std::string::npos ? 0 : 1;
}
