// iscsi top: what a running tgtd does now, per session and logical unit.
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <string>

#include "applets/applet.h"
#include "applets/cli.h"
#include "applets/one_shot.h"
#include "applets/units.h"
#include "core/base/json.h"
#include "core/base/sizes.h"
#include "core/mgmt/tgt_client.h"
#include "core/mgmt/top.h"

namespace iscsi::applets {
namespace {

using cli::Arg;
using mgmt::TopRow;

constexpr cli::Option options[] = {
    {'d', "delay", Arg::required, "SECONDS", "time between two looks (1)"},
    {'n', "count", Arg::required, "N", "end after so many"},
    {'a', "all", Arg::none, nullptr, "show idle ones too"},
    {'j', "json", Arg::none, nullptr, "an array per look; rates per second"},
    {'C', "control-port", Arg::required, "N", "number of the daemon's control socket (0)"},
    {'h', "help", Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "iscsi top", "show what the sessions of the target daemon do", "iscsi top [option]...", options,
    "READ/S and WRITE/S are commands per second, LAT the mean time of a command in milliseconds, QD the mean\n"
    "number of commands under way, ERR commands that failed since the last look. On a terminal, q ends it.",
    "iscsi top\n  iscsi top --json -n 1", 8};

// The terminal as it was found, for a handler of signals, which is given nothing else.
termios terminal_before;
void restore_and_end(int signal) {
    ::tcsetattr(0, TCSANOW, &terminal_before);
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

// Keys without Enter while it lives; however it ends, the terminal is as before.
class Keys {
public:
    explicit Keys(bool on) {
        if (!on || ::tcgetattr(0, &terminal_before) != 0) return;
        for (int s : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::signal(s, restore_and_end);
        termios now = terminal_before;
        now.c_lflag &= ~tcflag_t(ICANON | ECHO);
        changed_ = ::tcsetattr(0, TCSANOW, &now) == 0;
    }
    ~Keys() {
        if (changed_) ::tcsetattr(0, TCSANOW, &terminal_before);
    }
    // Waits; true if q was pressed.
    bool wait(int ms) const {
        const uint64_t end = now_ms() + uint64_t(ms);
        for (uint64_t now = now_ms(); now < end; now = now_ms()) {
            pollfd p{changed_ ? 0 : -1, POLLIN, 0};
            if (::poll(&p, 1, int(end - now)) <= 0) continue;
            char key = 0;
            if (::read(0, &key, 1) != 1 || key == 'q' || key == 'Q') return true;
        }
        return false;
    }
    static uint64_t now_ms() {
        timespec t{};
        ::clock_gettime(CLOCK_MONOTONIC, &t);
        return uint64_t(t.tv_sec) * 1000 + uint64_t(t.tv_nsec) / 1000000;
    }

private:
    bool changed_ = false;
};

// A column: what stands over it, its width with the blank before, and when it goes on a narrow terminal (the highest first).
struct Column {
    const char* title;
    int width;
    unsigned goes;
    std::string (*cell)(const TopRow&);
};
std::string number(double value, int decimals) {
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return text;
}
constexpr Column columns[] = {
    {"TID", 4, 3, [](const TopRow& r) { return std::to_string(r.tid); }},
    {"LUN", 5, 0, [](const TopRow& r) { return std::to_string(r.lun); }},
    {"SID", 6, 5, [](const TopRow& r) { return std::to_string(r.sid); }},
    {"READ/S", 9, 0, [](const TopRow& r) { return number(r.reads, 0); }},
    {"MB/S", 9, 1, [](const TopRow& r) { return number(r.read_bytes / 1e6, 1); }},
    {"WRITE/S", 9, 0, [](const TopRow& r) { return number(r.writes, 0); }},
    {"MB/S", 9, 1, [](const TopRow& r) { return number(r.written_bytes / 1e6, 1); }},
    {"LAT", 9, 0, [](const TopRow& r) { return number(r.latency_us / 1000, 3); }},
    {"QD", 7, 2, [](const TopRow& r) { return number(r.depth, 1); }},
    {"ERR", 5, 4, [](const TopRow& r) { return std::to_string(r.errors); }},
};

void print_rows(const std::vector<TopRow>& rows, bool screen) {
    size_t limit = rows.size(), width = 200;
    if (winsize size{}; screen && ::ioctl(1, TIOCGWINSZ, &size) == 0) {
        if (size.ws_row) limit = std::min<size_t>(limit, size.ws_row > 4 ? size_t(size.ws_row) - 4 : 1);
        if (size.ws_col) width = size.ws_col;
    }
    unsigned keep = 6;                              // columns that go at this or above are gone
    auto room = [&] {
        size_t used = 0;
        for (const Column& c : columns) used += c.goes < keep ? size_t(c.width) : 0;
        return used > width ? size_t(0) : std::max<size_t>(width - used, 1);
    };
    while (keep > 4 && room() < 16) keep--;         // rather a piece of the initiator's name
    while (keep > 1 && room() == 0) keep--;
    const size_t left = room();
    auto put = [&](std::string line) {
        line.resize(std::min(line.size(), width));
        std::puts(line.c_str());
    };
    auto line = [&](auto cell, std::string_view last) {
        std::string text;
        for (const Column& c : columns)
            if (c.goes < keep) {
                const std::string shown = cell(c);
                text.append(shown.size() < size_t(c.width) ? size_t(c.width) - shown.size() : 1, ' ');
                text += shown;
            }
        if (left > 8) text += last.size() < left ? " " + std::string(last) : " .." + std::string(last.substr(last.size() - (left - 3)));
        put(text);
    };
    double reads = 0, writes = 0, in = 0, out = 0;
    for (const TopRow& r : rows) reads += r.reads, writes += r.writes, out += r.read_bytes, in += r.written_bytes;
    char clock[16] = "";
    const time_t now = ::time(nullptr);
    if (tm local{}; ::localtime_r(&now, &local)) std::strftime(clock, sizeof clock, "%H:%M:%S", &local);
    if (screen) std::fputs("\033[H\033[J", stdout);
    const std::string reading = number(reads, 0) + " read/s " + number(out / 1e6, 1) + " MB/s", writing = number(writes, 0) + " write/s " + number(in / 1e6, 1) + " MB/s";
    std::string total = std::string(clock) + "  " + reading + ", " + writing;
    if (total.size() > width) total.erase(0, std::string_view(clock).size() + 2);
    const bool two = total.size() > width;          // then the second takes the place of the blank one
    put(two ? reading : total);
    put(two ? writing : "");
    line([](const Column& c) { return std::string(c.title); }, "INITIATOR");
    for (size_t i = 0; i < limit; i++) line([&](const Column& c) { return c.cell(rows[i]); }, rows[i].initiator);
    if (!screen) std::puts("");
}

void print_json(const std::vector<TopRow>& rows) {
    Json json;
    auto count = [&](const char* name, double n) { json.field(name, uint64_t(n + 0.5)); };
    json.array();
    for (const TopRow& r : rows) {
        json.object().field("tid", r.tid).field("lun", r.lun).field("sid", r.sid).field("initiator", r.initiator);
        count("reads", r.reads);
        count("read_bytes", r.read_bytes);
        count("writes", r.writes);
        count("written_bytes", r.written_bytes);
        json.field("latency_us", r.latency_us).field("depth", r.depth);
        json.field("errors", r.errors).end();
    }
    json.end();
    std::fputs(json.take().c_str(), stdout);
}

int refuse(const std::string& why) { return usage_error(interface, why + "; see iscsi top --help"); }

}  // namespace

int top_main(int argc, char** argv) {
    cli::Parsed p = cli::parse(interface, argc, argv);
    if (const auto code = settled(interface, p)) return *code;
    if (!p.words.empty()) return refuse("'" + p.words[0] + "' is one word too many");
    double delay = 1;
    uint64_t count = 0;
    if (auto d = p.get("delay"); d && (delay = parse_decimal(*d).value_or(0), !(delay >= 0.1) || delay > 86400))
        return refuse("--delay is a number of seconds from 0.1 on, not '" + *d + "'");
    if (auto n = p.get("count"); n && (count = parse_number(*n, 1, UINT64_MAX).value_or(0)) == 0)
        return refuse("--count is a number from 1 on, not '" + *n + "'");
    const auto port = control_port(interface, p);
    if (!port) return 2;
    const bool json = p.has("json"), screen = !json && ::isatty(1);
    Keys keys(screen && ::isatty(0));
    mgmt::TgtRequest request;
    request.op = mgmt::TgtOp::stat;
    request.json = true;
    std::vector<mgmt::TopCounters> before;
    uint64_t then = 0;
    for (uint64_t look = 0;; look++) {
        auto answer = mgmt::tgt_call(*port, request);
        if (!answer) {
            const bool nobody = answer.error().code == ENOTCONN;        // the error's own words are tgtadm's
            std::fprintf(stderr, "iscsi top: %s\n", nobody ? "no tgtd answers: is it running (systemctl start tgt), is this root, is it another --control-port?"
                                                          : answer.error().what.c_str());
            return answer.error().code ? answer.error().code : 1;
        }
        if (answer->code != mgmt::TgtCode::ok) {
            std::fprintf(stderr, "iscsi top: tgtd answers: %s\n", mgmt::tgt_code_text(answer->code));
            return 22;
        }
        const uint64_t now = Keys::now_ms();
        std::vector<mgmt::TopCounters> after = mgmt::parse_top(answer->text);
        if (look > 0) {
            const std::vector<TopRow> rows = mgmt::top_rows(before, after, double(now - then) / 1000, p.has("all"));
            json ? print_json(rows) : print_rows(rows, screen);
            std::fflush(stdout);
            if (look == count) return 0;
        }
        before = std::move(after);
        then = now;
        if (keys.wait(int(delay * 1000))) return 0;
    }
}

}  // namespace iscsi::applets
