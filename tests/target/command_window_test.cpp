#include "core/target/command_window.h"

#include <doctest/doctest.h>

#include <initializer_list>

using namespace iscsi;
using target::CommandWindow;
using Fate = CommandWindow::Fate;

TEST_CASE("CmdSN window wraps at 2^32") {
    struct Row { uint32_t sn, exp, max; bool in; };
    for (const Row& r : {Row{5, 5, 8, true}, {4, 5, 8, false}, {9, 5, 8, false}, {0, 0xfffffffe, 2, true}, {0xfffffffd, 0xfffffffe, 2, false},
                         {3, 0xfffffffe, 2, false}, {5, 5, 4, false} /* closed: MaxCmdSN = ExpCmdSN - 1 */}) {
        CAPTURE(r.sn);
        CHECK(wire::sn_in_window(r.sn, r.exp, r.max) == r.in);
    }
}

TEST_CASE("commands start in order, wait for a gap, and vanish outside the window") {
    CommandWindow w(0xffffffff, 4);
    CHECK(w.arrive(0xffffffff) == Fate::start);
    CHECK(w.exp_cmd_sn() == 0);
    CHECK(w.arrive(0xffffffff) == Fate::ignore);     // again
    CHECK(w.arrive(1) == Fate::hold);
    CHECK(w.arrive(0) == Fate::start);
    CHECK(w.arrive(1) == Fate::start);
    CHECK(w.arrive(3) == Fate::ignore);              // MaxCmdSN is still 2
    CHECK(w.max_cmd_sn(0) == 5);
    CHECK(w.arrive(3) == Fate::hold);
}

TEST_CASE("MaxCmdSN shrinks the window while commands are pending but never moves back") {
    CommandWindow w(10, 4);
    CHECK(w.max_cmd_sn(0) == 13);
    CHECK(w.max_cmd_sn(4) == 13);
    for (uint32_t sn = 10; sn < 14; sn++) CHECK(w.arrive(sn) == Fate::start);
    CHECK(w.max_cmd_sn(4) == 13);                    // all four pending: closed
    CHECK(w.arrive(14) == Fate::ignore);
    CHECK(w.max_cmd_sn(1) == 16);
    CHECK(w.arrive(14) == Fate::start);
}
