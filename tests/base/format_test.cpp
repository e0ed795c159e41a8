#include "core/base/format.h"

#include <doctest/doctest.h>

using namespace iscsi;

TEST_CASE("printf onto a string: short, as long as the line that is tried first, longer") {
    for (size_t length : {0, 1, 1022, 1023, 1024, 1025, 5000}) {
        CAPTURE(length);
        const std::string x(length, 'x');
        std::string out = "before ";
        append(out, "%s", x.c_str());
        CHECK(out == "before " + x);
        append(out, " %d%c", 42, '!');
        CHECK(out == "before " + x + " 42!");
    }
}
