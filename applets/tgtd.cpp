// tgtd: the target daemon. Puts the pieces together: control socket -> TgtOps -> Directory <- Server with its portals.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "applets/applet.h"
#include "applets/check_conf.h"
#include "applets/cli.h"
#include "applets/daemon.h"
#include "applets/isns_watch.h"
#include "applets/units.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/io/tcp.h"
#include "core/mgmt/host_seed.h"
#include "core/mgmt/metrics.h"
#include "core/mgmt/tgt_ops.h"
#include "core/mgmt/tgt_self_config.h"
#include "core/mgmt/tgt_server.h"
#include "core/target/server.h"

namespace iscsi::applets {
namespace {

using cli::Arg;

constexpr cli::Option options[] = {
    {'f', "foreground", Arg::none, nullptr, "stay in the foreground, log to standard error"},
    {'D', "nodaemonize", Arg::none, nullptr, "stay in the foreground, log to syslog"},
    {'C', "control-port", Arg::required, "N", "number of the control socket (0): several daemons can run"},
    {'t', "nr_iothreads", Arg::required, "N", "threads for requests that wait for a disk (16)"},
    {'T', "threads", Arg::required, "N", "event loops that serve sessions (one per core)"},
    {0, "busy-poll", Arg::required, "US", "look for work up to that long before sleeping, while it comes that soon (100; one core: 0)"},
    {0, "congestion", Arg::required, "NAME", "TCP congestion control; system, or auto (auto): no pacing of peers within 1 ms"},
    {0, "zerocopy", Arg::required, "WHEN", "send long reads that bypass the page cache, or have digests, by MSG_ZEROCOPY: auto (auto), off"},
    {'p', "pid-file", Arg::required, "PATH", "write the process id there, when in the background"},
    {'d', "debug", Arg::required, "LEVEL", "1: log more"},
    {0, "iscsi", Arg::required, "LIST", "portal=ADDR[:PORT], nop_interval=S, nop_count=N; separated by commas"},
    {0, "config", Arg::required, "FILE", "set up the targets of this targets.conf at start, and again at SIGHUP"},
    {0, "check", Arg::none, nullptr, "name each mistake of the --config file (/etc/tgt/targets.conf), with line and column, and end"},
    {0, "metrics", Arg::required, "[ADDR:]PORT", "serve Prometheus metrics at http://ADDR:PORT/metrics (127.0.0.1)"},
    {'V', "version", Arg::none, nullptr, "print the version of tgt that this matches"},
    {'h', "help", Arg::none, nullptr, "show this"},
};

constexpr cli::Interface interface = {
    "tgtd", "iSCSI target daemon, configured by tgtadm and tgt-admin", "tgtd [option]...", options,
    "Without --iscsi portal=... it listens on 0.0.0.0:3260 and [::]:3260. It returns to the shell, and tells\n"
    "systemd, once it accepts connections. SIGTERM ends it cleanly: initiators are asked to log out, what is\n"
    "in flight is finished; a second one ends it at once.",
    "tgtd --iscsi portal=192.0.2.10:3260,nop_interval=5,nop_count=6"};

struct Settings {
    int control_port = 0;
    unsigned io_threads = 16, threads = 0, busy_poll_us = default_busy_poll_us();
    std::string congestion = "auto";
    bool zerocopy = true;
    bool foreground = false, no_daemon = false, debug = false;
    std::string pid_file, config, metrics;
    struct Portal { std::string host; uint16_t port; };
    std::vector<Portal> portals;
    int nop_interval = 0, nop_count = 0;
};

int try_help() {
    std::fputs("Try `tgtd --help' for more information.\n", stderr);
    return 1;
}

// A number as tgt's str_to_int reads it; otherwise its line, and 22 or 34.
int number(const char* option, const std::string& text, long low, long high, long& out) {
    char* end = nullptr;
    errno = 0;
    out = std::strtol(text.c_str(), &end, 0);
    const char* wrong = nullptr;
    int code = 0;
    if (text.empty() || end == text.c_str()) wrong = "invalid", code = EINVAL;
    else if (errno == ERANGE || out < low || out > high) wrong = "out of range", code = ERANGE;
    if (!wrong) return 0;
    std::fprintf(stderr, "%s argument value '%s' %s\n", option, text.c_str(), wrong);
    try_help();
    return code;
}

int congestion(const std::string& name, Settings& s) {
    s.congestion = name;
    Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (name == "auto" || !probe || io::choose_congestion_control(probe.get(), name)) return 0;
    std::fprintf(stderr, "tgtd: --congestion %s: %s; /proc/sys/net/ipv4/tcp_available_congestion_control lists what there is\n", name.c_str(),
                 std::strerror(errno));
    return EINVAL;
}

int zerocopy(const std::string& when, Settings& s) {
    s.zerocopy = when == "auto";
    if (s.zerocopy || when == "off") return 0;
    std::fprintf(stderr, "tgtd: --zerocopy %s: neither auto nor off\n", when.c_str());
    return EINVAL;
}

// "ADDR", "ADDR:PORT", "[V6]", "[V6]:PORT", ":PORT"
bool parse_portal(const std::string& text, Settings::Portal& out) {
    std::string full = !text.empty() && text[0] == ':' ? "0.0.0.0" + text : text;
    auto parts = io::split_host_port(full, target::default_portal_port);
    if (!parts) return false;
    out = {parts->host, parts->port};
    return true;
}

int parse_iscsi(const std::string& list, Settings& s) {
    for (size_t at = 0; at <= list.size();) {
        size_t comma = std::min(list.find(',', at), list.size());
        std::string word = list.substr(at, comma - at);
        at = comma + 1;
        size_t equals = word.find('=');
        if (equals == std::string::npos) continue;
        std::string key = word.substr(0, equals), value = word.substr(equals + 1);
        if (key == "portal") {
            Settings::Portal portal;
            if (!parse_portal(value, portal)) {
                std::fprintf(stderr, "tgtd: --iscsi portal=%s is not ADDRESS[:PORT]\n", value.c_str());
                return EINVAL;
            }
            s.portals.push_back(portal);
        } else if (key == "nop_interval") {
            s.nop_interval = std::atoi(value.c_str());
        } else if (key == "nop_count") {
            s.nop_count = std::atoi(value.c_str());
        }
    }
    return 0;
}

// Exit code, or -1 to go on.
int parse(int argc, char** argv, Settings& s) {
    cli::Parsed p = cli::parse(interface, argc, argv);
    if (p.error) {
        // tgtd names an unknown long option its own way, and says nothing of the others.
        if (size_t quote = p.error->find("'--"); p.error->rfind("unrecognized", 0) == 0 && quote != std::string::npos) {
            std::string word = p.error->substr(quote + 3);
            std::fprintf(stderr, "'%s is an unknown option\n", word.c_str());
        }
        return try_help();
    }
    for (const cli::Item& item : p.items) {
        long n = 0;
        int wrong = 0;
        switch (item.option->short_name) {
        case 'f': s.foreground = true; break;
        case 'D': s.no_daemon = true; break;
        case 'C': wrong = number("-C", item.value, 0, 32767, n); s.control_port = int(n); break;
        case 't': wrong = number("-t", item.value, 1, 1024, n); s.io_threads = unsigned(n); break;
        case 'T': wrong = number("-T", item.value, 1, 256, n); s.threads = unsigned(n); break;
        case 'p': s.pid_file = item.value; break;
        case 'd': wrong = number("-d", item.value, 0, 1, n); s.debug = n == 1; break;
        case 'V': std::puts(mgmt::tgt_version); return 0;
        case 'h': std::fputs(cli::help(interface).c_str(), stdout); return 0;
        default:
            if (!std::strcmp(item.option->long_name, "config")) s.config = item.value;
            else if (!std::strcmp(item.option->long_name, "iscsi")) wrong = parse_iscsi(item.value, s);
            else if (!std::strcmp(item.option->long_name, "metrics")) s.metrics = item.value;
            else if (!std::strcmp(item.option->long_name, "congestion")) wrong = congestion(item.value, s);
            else if (!std::strcmp(item.option->long_name, "zerocopy")) wrong = zerocopy(item.value, s);
            else if (!std::strcmp(item.option->long_name, "busy-poll")) wrong = number("--busy-poll", item.value, 0, 1000, n), s.busy_poll_us = unsigned(n);
            break;
        }
        if (wrong) return wrong;
    }
    if (p.has("check")) return check_targets_conf(s.config.empty() ? "/etc/tgt/targets.conf" : s.config);
    return -1;
}

class Daemon final : public mgmt::TgtDaemon {
public:
    Daemon(target::Server& server, target::Directory& directory, const Settings& settings)
        : server_(server), directory_(directory), settings_(settings) {}

    Result<void> add_portal(const std::string& host, uint16_t port) override { return server_.add_portal(host, port); }
    bool remove_portal(const std::string& host, uint16_t port) override { return server_.remove_portal(host, port); }
    std::vector<std::string> portals() const override { return server_.portals(); }
    Result<void> listen(bool on) override {
        if (!on) {
            for (const std::string& name : server_.portals())
                if (auto parts = io::split_host_port(name, target::default_portal_port)) server_.remove_portal(parts->host, parts->port);
            return {};
        }
        if (!server_.portals().empty()) return {};
        if (settings_.portals.empty()) return server_.add_default_portals();
        for (const auto& p : settings_.portals) TRY_VOID(server_.add_portal(p.host, p.port));
        return {};
    }
    bool configure_isns(const mgmt::IsnsSettings& wanted) override {
        // who may log in is said by ACLs and accounts; a discovery domain is no door
        if (wanted.on && (wanted.access_control || wanted.server.empty())) return false;
        isns_.reset();
        if (wanted.on) isns_ = std::make_unique<IsnsWatch>(server_.loop(), directory_, server_, wanted);
        return true;
    }
    void stop() override { server_.shut_down(0); }

private:
    target::Server& server_;
    target::Directory& directory_;
    const Settings& settings_;
    std::unique_ptr<IsnsWatch> isns_;
};

// Backing files and devices grow behind our back: looked at every two seconds, initiators learn by a unit attention.
class SizeWatch {
public:
    SizeWatch(io::Loop& loop, target::Directory& directory)
        : directory_(directory), timer_(loop, [this] { look(); }) { timer_.arm(period_ms); }

private:
    static constexpr uint64_t period_ms = 2000;
    void look() {
        for (const auto& t : directory_.targets())
            for (const auto& [number, unit] : *t->router.table()) unit->refresh_size();
        timer_.arm(period_ms);
    }
    target::Directory& directory_;
    io::Timer timer_;
};

int serve(const Settings& s, Background& background) {
    target::Directory directory;
    target::ServerOptions server_options;
    server_options.threads = s.threads ? s.threads : default_threads();
    server_options.engine.threads = s.io_threads;
    server_options.busy_poll_us = s.busy_poll_us;
    server_options.congestion = s.congestion;
    server_options.zerocopy = s.zerocopy;
    auto server = target::Server::create(directory, server_options);
    if (!server) {
        log::error("%s", server.error().text().c_str());
        return 1;
    }
    io::Loop& loop = (*server)->loop();
    bool ending = false;
    std::function<void()> reload;
    auto signals = Signals::create(loop, [&](int signal) {
        if (signal == SIGHUP) {
            if (reload) reload();
            return;
        }
        if (ending) return (*server)->stop();
        ending = true;
        notify_systemd("STOPPING=1");
        (*server)->shut_down(3000);
    });
    Daemon daemon(**server, directory, s);
    mgmt::TgtOps::Options ops_options;
    ops_options.nop_interval = s.nop_interval;
    ops_options.nop_count = s.nop_count;
    ops_options.host_seed = mgmt::host_seed();
    ops_options.state_directory = "/var/lib/tgt";
    mgmt::TgtOps ops(loop, directory, daemon, ops_options);
    mgmt::TgtServer::Options control_options;
    control_options.control_port = s.control_port;
    auto control = mgmt::TgtServer::create(loop, control_options, [&](const mgmt::TgtRequest& request, std::shared_ptr<mgmt::TgtReply> reply) {
        ops.handle(request, std::move(reply));
    });
    if (!control) {
        log::error("%s", control.error().text().c_str());
        return 1;
    }
    if (!s.config.empty()) {
        if (int code = mgmt::tgt_configure(ops, s.config, false)) return code;
        reload = [&] {
            notify_systemd("RELOADING=1");
            if (mgmt::tgt_configure(ops, s.config, true) == 0) log::info("%s is in force", s.config.c_str());
            notify_systemd("READY=1");
        };
    }
    if (auto listening = daemon.listen(true); !listening) {
        log::error("%s", listening.error().text().c_str());
        return 1;
    }
    std::unique_ptr<mgmt::MetricsServer> metrics;
    if (!s.metrics.empty()) {
        auto made = mgmt::MetricsServer::create(loop, directory, s.metrics);
        if (!made) {
            log::error("%s", made.error().text().c_str());
            return 1;
        }
        metrics = std::move(*made);
    }
    SizeWatch sizes(loop, directory);
    harden_process();
    std::string pid_file = background.detached() ? s.pid_file : "";
    if (!pid_file.empty()) {
        if (FILE* f = std::fopen(pid_file.c_str(), "we")) {
            std::fprintf(f, "%d", int(::getpid()));
            std::fclose(f);
        } else {
            log::error("write pid file %s: %m", pid_file.c_str());
        }
    }
    notify_systemd("READY=1\nSTATUS=Starting event loop...");
    if (background.detached()) {
        background.ready();
        log::open("tgtd", log::Sink::syslog, s.debug ? log::Level::debug : log::Level::info);
    }
    (*server)->run();
    if (!pid_file.empty()) ::unlink(pid_file.c_str());
    return 0;
}

}  // namespace

int tgtd_main(int argc, char** argv) {
    Settings settings;
    if (int code = parse(argc, argv, settings); code >= 0) return code;
    bool stay = settings.foreground || settings.no_daemon;
    log::open("tgtd", log::Sink::foreground, settings.debug ? log::Level::debug : log::Level::info);
    Background background;
    if (!stay) background.detach();
    if (settings.no_daemon && !settings.foreground)
        log::open("tgtd", log::Sink::syslog, settings.debug ? log::Level::debug : log::Level::info);
    return serve(settings, background);
}

}  // namespace iscsi::applets
