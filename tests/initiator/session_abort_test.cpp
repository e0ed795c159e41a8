#include <doctest/doctest.h>

#include "core/initiator/client.h"
#include "core/initiator/remote_lun.h"
#include "tests/support/portal.h"
#include "tests/support/session_pair.h"

using namespace iscsi;
using namespace iscsi::initiator;
using namespace iscsi::test;
using wire::TmfFunction;
using wire::TmfResult;

namespace {

void answer_tmf(FakeTarget& t, uint32_t itt, TmfResult result) {
    wire::TmfResponse r;
    r.itt = itt;
    r.response = uint8_t(result);
    t.send(t.numbered(r));
}

// Answers pings; hands commands and functions to the test, and remembers the functions.
struct Mute {
    std::function<void(FakeTarget&, const wire::ScsiCommand&)> command;
    std::function<void(FakeTarget&, const wire::TmfRequest&)> function;
    std::vector<wire::ScsiCommand> commands;
    std::vector<wire::TmfRequest> functions;
    FakeTarget::Script script() {
        return [this](FakeTarget& t, const wire::Bhs& h, Bytes) {
            if (h.op() == Opcode::scsi_command) {
                commands.push_back(wire::header_cast<wire::ScsiCommand>(h));
                if (command) command(t, commands.back());
            } else if (h.op() == Opcode::tmf_request) {
                functions.push_back(wire::header_cast<wire::TmfRequest>(h));
                if (function) function(t, functions.back());
            } else if (h.op() == Opcode::nop_out) {
                wire::NopIn n;
                n.itt = h.itt;
                n.ttt = wire::reserved_tag;
                t.send(t.numbered(n));
            }
        };
    }
};

// Looks at the clock every 20 ms.
SessionConfig hasty() {
    SessionConfig c = config();
    c.noop_interval_ms = 20;
    c.noop_timeout_ms = 5000;
    c.command_timeout_ms = c.abort_timeout_ms = c.reset_timeout_ms = 30;
    return c;
}

TmfFunction function_of(const wire::TmfRequest& r) { return TmfFunction(r.function & 0x7f); }

}  // namespace

TEST_CASE("a command that is not answered in time is aborted and sent again") {
    Mute m;
    m.command = [&](FakeTarget& t, const wire::ScsiCommand& c) {
        if (m.commands.size() == 2) t.answer_good(c.itt);
    };
    m.function = [](FakeTarget& t, const wire::TmfRequest& f) { answer_tmf(t, f.itt, TmfResult::complete); };
    Pair p(hasty(), m.script());
    Request r;
    make_read(r, 7, 1);
    r.lun = 0x0003000000000000;
    uint8_t data[512];
    r.in = data;
    p.session->submit(r);
    p.run([&] { return r.calls == 1; });
    CHECK(r.good());
    REQUIRE(m.functions.size() == 1);
    CHECK(function_of(m.functions[0]) == TmfFunction::abort_task);
    CHECK((m.functions[0].opcode & wire::immediate_bit));
    CHECK(uint64_t(m.functions[0].lun) == r.lun);
    CHECK(uint32_t(m.functions[0].referenced_task_tag) == uint32_t(m.commands[0].itt));
    CHECK(uint32_t(m.functions[0].ref_cmd_sn) == uint32_t(m.commands[0].cmd_sn));
    CHECK(uint32_t(m.commands[1].itt) != uint32_t(m.commands[0].itt));
    CHECK(p.session->is_up());
}

TEST_CASE("a refused or unanswered abort becomes a logical unit reset, for all commands of that unit") {
    for (TmfResult result : {TmfResult::not_supported, TmfResult::rejected, TmfResult::task_still_allegiant}) {
        CAPTURE(int(result));
        Mute m;
        bool reset = false;
        m.command = [&](FakeTarget& t, const wire::ScsiCommand& c) {
            if (reset) t.answer_good(c.itt);
        };
        m.function = [&](FakeTarget& t, const wire::TmfRequest& f) {
            // `task_still_allegiant` stands for silence, and an answer that comes late.
            if (function_of(f) == TmfFunction::abort_task) {
                if (result != TmfResult::task_still_allegiant) answer_tmf(t, f.itt, result);
                return;
            }
            CHECK(function_of(f) == TmfFunction::logical_unit_reset);
            CHECK(uint32_t(f.referenced_task_tag) == wire::reserved_tag);
            reset = true;
            if (result == TmfResult::task_still_allegiant) answer_tmf(t, m.functions[0].itt, TmfResult::complete);
            answer_tmf(t, f.itt, TmfResult::complete);
        };
        SessionConfig c = hasty();
        c.command_timeout_ms = 0;
        Pair p(c, m.script());
        Request a, b, other, held;
        for (Request* r : {&a, &b, &other, &held}) make_read(*r, 1, 0);
        other.lun = 0x0001000000000000;
        for (Request* r : {&a, &b, &other}) p.session->submit(*r);
        p.run([&] { return m.commands.size() == 3; });
        p.session->time_out(a);
        p.run([&] { return a.calls == 1 && b.calls == 1; });
        CHECK(a.good());
        CHECK(b.good());
        CHECK(other.calls == 0);                // another unit
        CHECK(m.functions.size() == 2);
        CHECK(m.commands.size() == 5);
        CHECK(p.session->is_up());
        p.session->submit(held);
        p.run([&] { return held.calls == 1; });
    }
}

TEST_CASE("a target that answers no function loses the session") {
    Mute m;
    Pair p(hasty(), m.script());
    Request r, second;
    make_read(r, 1, 0);
    make_read(second, 2, 0);
    p.session->submit(r);
    p.run([&] { return m.functions.size() == 2; });
    p.session->submit(second);
    p.run([&] { return p.watch.ended; });
    CHECK(m.functions.size() == 2);
    CHECK(m.commands.size() == 1);              // nothing new while a unit is being reset
    CHECK(p.watch.end.text == "a command was not answered in time, nor could the logical unit be reset");
    CHECK(r.outcome == ScsiRequest::Outcome::lost);
}

TEST_CASE("what cannot be done twice is not sent again after an abort") {
    Mute m;
    m.function = [](FakeTarget& t, const wire::TmfRequest& f) { answer_tmf(t, f.itt, TmfResult::complete); };
    Pair p(hasty(), m.script());
    const std::vector<uint8_t> data(100000);
    for (uint8_t op : {0x89, 0x5f, 0x0a, 0x83, 0x55}) {
        m.commands.clear();
        Request r;
        r.cdb[0] = op;
        r.out = data;                           // its R2Ts never come
        p.session->submit(r);
        p.run([&] { return r.calls == 1; });
        CHECK(r.outcome == ScsiRequest::Outcome::in_doubt);
        CHECK(m.commands.size() == 1);
    }
    CHECK(p.session->is_up());
}

TEST_CASE("an answer that crosses the abort counts, and the session goes on") {
    Mute m;
    m.function = [&](FakeTarget& t, const wire::TmfRequest& f) {
        t.answer_good(m.commands[0].itt);
        answer_tmf(t, f.itt, TmfResult::no_such_task);
    };
    SessionConfig c = hasty();
    c.command_timeout_ms = 0;
    Pair p(c, m.script());
    Request r;
    p.session->submit(r);
    p.run([&] { return m.commands.size() == 1; });
    p.session->time_out(r);
    p.run([&] { return r.calls == 1; });
    CHECK(r.good());
    for (int i = 0; i < 5; i++) p.loop->run_once(5);
    CHECK(m.commands.size() == 1);
    CHECK(p.session->is_up());
}

TEST_CASE("a target that never opens its command window loses the session") {
    Mute m;
    Pair p(hasty(), m.script());
    p.target->window = 0;
    Request r;
    p.session->submit(r);
    p.run([&] { return p.watch.ended; });
    CHECK(p.watch.end.text == "the target admits no commands");
    CHECK(m.commands.empty());
    CHECK(r.outcome == ScsiRequest::Outcome::lost);
}

TEST_CASE("answers to functions that nobody asked for lose the session") {
    for (uint32_t itt : {0xffdu, 0x1ffdu, 0x5ffdu, 0u}) {
        Mute m;
        Pair p(config(), m.script());
        p.run([&] { return p.session->is_up(); });
        answer_tmf(*p.target, itt, TmfResult::complete);
        p.run([&] { return p.watch.ended; });
    }
}

TEST_CASE("after a lost connection only what can be done twice is sent twice") {
    auto loop = std::move(*io::Loop::create());
    SessionConfig c = config();
    c.host = "127.0.0.1";
    c.replacement_timeout_ms = 10000;
    Watch watch;
    std::vector<uint8_t> first, again;
    int logins = 0;
    Portal portal(*loop, [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
        if (h.op() == Opcode::login_request) {
            logins++;
            return t.grant_login(h, std::string(usual) + "|DefaultTime2Wait=0");
        }
        if (h.op() != Opcode::scsi_command) return;
        (logins == 1 ? first : again).push_back(wire::header_cast<wire::ScsiCommand>(h).cdb[0]);
        if (logins == 1 && first.size() == 4) t.close();
        else if (logins > 1) t.answer_good(h.itt);
    });
    c.port = portal.port();
    {
        Session session(*loop, c, watch);
        session.start();
        const uint8_t ops[] = {0x2a, 0x89, 0x28, 0x5f};
        Request requests[4];
        for (int i = 0; i < 4; i++) {
            requests[i].cdb[0] = ops[i];
            session.submit(requests[i]);
        }
        auto all = [&] { return std::all_of(std::begin(requests), std::end(requests), [](Request& r) { return r.calls == 1; }); };
        for (int i = 0; i < 1000 && !all(); i++) loop->run_once(50);
        CHECK(all());
        CHECK(first == std::vector<uint8_t>{0x2a, 0x89, 0x28, 0x5f});
        CHECK(again == std::vector<uint8_t>{0x2a, 0x28});
        CHECK(requests[0].good());
        CHECK(requests[1].outcome == ScsiRequest::Outcome::in_doubt);
        CHECK(requests[2].good());
        CHECK(requests[3].outcome == ScsiRequest::Outcome::in_doubt);
        CHECK(describe(requests[3]) == "no answer, given up; it may or may not have been carried out");
    }
}
