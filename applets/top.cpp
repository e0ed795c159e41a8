// iscsi top: what a running tgtd does now, per session and logical unit.
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "applets/applet.h"
#include "applets/cli.h"
#include "applets/units.h"
#include "core/base/json.h"
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

// Keys without Enter while it lives.
class Keys {
public:
    explicit Keys(bool on) {
        if (!on || ::tcgetattr(0, &before_) != 0) return;
        termios now = before_;
        now.c_lflag &= ~tcflag_t(ICANON | ECHO);
        changed_ = ::tcsetattr(0, TCSANOW, &now) == 0;
    }
    ~Keys() {
        if (changed_) ::tcsetattr(0, TCSANOW, &before_);
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
    termios before_{};
    bool changed_ = false;
};

void print_rows(const std::vector<TopRow>& rows, bool screen) {
    size_t limit = rows.size();
    int width = 200;
    if (winsize size{}; screen && ::ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_row > 4) {
        limit = std::min<size_t>(limit, size_t(size.ws_row) - 4);
        if (size.ws_col) width = size.ws_col;
    }
    double reads = 0, writes = 0, in = 0, out = 0;
    for (const TopRow& r : rows) reads += r.reads, writes += r.writes, out += r.read_bytes, in += r.written_bytes;
    if (screen) std::fputs("\033[H\033[J", stdout);
    std::printf("%s  %.0f read/s %.1f MB/s, %.0f write/s %.1f MB/s\n\n", time_of_day().c_str(), reads, out / 1e6, writes, in / 1e6);
    std::printf("%4s %4s %5s %8s %8s %8s %8s %8s %6s %4s INITIATOR\n", "TID", "LUN", "SID", "READ/S", "MB/S", "WRITE/S", "MB/S", "LAT", "QD", "ERR");
    const int fixed = 73;
    for (size_t i = 0; i < limit; i++) {
        const TopRow& r = rows[i];
        std::printf("%4llu %4llu %5llu %8.0f %8.1f %8.0f %8.1f %8.3f %6.1f %4llu %.*s\n", static_cast<unsigned long long>(r.tid),
                    static_cast<unsigned long long>(r.lun), static_cast<unsigned long long>(r.sid), r.reads, r.read_bytes / 1e6, r.writes,
                    r.written_bytes / 1e6, r.latency_us / 1000, r.depth, static_cast<unsigned long long>(r.errors), std::max(0, width - fixed),
                    r.initiator.c_str());
    }
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
        count("latency_us", r.latency_us);
        count("depth", r.depth);
        json.field("errors", r.errors).end();
    }
    json.end();
    std::fputs(json.take().c_str(), stdout);
}

int refuse(const std::string& why) {
    std::fprintf(stderr, "iscsi top: %s\nTry `iscsi top --help' for more information.\n", why.c_str());
    return 2;
}

}  // namespace

int top_main(int argc, char** argv) {
    cli::Parsed p = cli::parse(interface, argc, argv);
    if (p.error) return refuse(*p.error);
    if (p.has("help")) {
        std::fputs(cli::help(interface).c_str(), stdout);
        return 0;
    }
    if (!p.words.empty()) return refuse("'" + p.words[0] + "' is one word too many");
    double delay = 1;
    unsigned long count = 0, port = 0;
    char* end = nullptr;
    if (auto d = p.get("delay"); d && (delay = parse_decimal(*d).value_or(0), !(delay >= 0.1) || delay > 86400))
        return refuse("--delay is a number of seconds from 0.1 on, not '" + *d + "'");
    if (auto n = p.get("count"); n && (count = std::strtoul(n->c_str(), &end, 10), n->empty() || *end || count == 0 || (*n)[0] == '-'))
        return refuse("--count is a number from 1 on, not '" + *n + "'");
    if (auto c = p.get("control-port"); c && (port = std::strtoul(c->c_str(), &end, 10), c->empty() || *end || port > 32767))
        return refuse("--control-port is a number from 0 to 32767, not '" + *c + "'");
    const bool json = p.has("json"), screen = !json && ::isatty(1);
    Keys keys(screen && ::isatty(0));
    mgmt::TgtRequest request;
    request.op = mgmt::TgtOp::stat;
    request.json = true;
    std::vector<mgmt::TopCounters> before;
    uint64_t then = 0;
    for (unsigned long look = 0;; look++) {
        auto answer = mgmt::tgt_call(int(port), request);
        if (!answer) {
            std::fprintf(stderr, "iscsi top: %s\n", answer.error().what.c_str());
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
