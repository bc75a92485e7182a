// The second translation unit of the program: the header must not define anything twice.
#include "promem.hpp"

std::string version_from_the_other_unit();
std::string version_from_the_other_unit() { return promem::version(); }
