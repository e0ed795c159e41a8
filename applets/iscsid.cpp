// iscsid: the daemon that logs the kernel's initiator in and keeps it logged in. Set-up, options, signals; the work is
// core/initiator's, the socket core/mgmt's.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "applets/applet.h"
#include "applets/cli.h"
#include "applets/daemon.h"
#include "applets/discovery_polls.h"
#include "core/base/log.h"
#include "core/config/iscsid_conf.h"
#include "core/config/node_records.h"
#include "core/initiator/kernel_initiator.h"
#include "core/kernel/modules.h"
#include "core/mgmt/session_ops.h"

namespace iscsi::applets {
namespace {

using cli::Arg;

constexpr cli::Option options[] = {
    {'c', "config", Arg::required, "FILE", "configuration (/etc/iscsi/iscsid.conf)"},
    {'i', "initiatorname", Arg::required, "FILE", "who we are (/etc/iscsi/initiatorname.iscsi)"},
    {'f', "foreground", Arg::none, nullptr, "stay in the foreground, log to stderr"},
    {'d', "debug", Arg::required, "LEVEL", "0 to 8; more than 0 logs every step"},
    {'u', "uid", Arg::required, "UID", "run as this user"},
    {'g', "gid", Arg::required, "GID", "run as this group"},
    {'n', "no-pid-file", Arg::none, nullptr, "do not write a PID file"},
    {'p', "pid", Arg::required, "FILE", "PID file (/run/iscsid.pid)"},
    {'h', "help", Arg::none, nullptr, "show this"},
    {'v', "version", Arg::none, nullptr, "show the version"},
};
constexpr cli::Interface interface = {
    "iscsid", "initiator daemon: keeps the kernel's iSCSI sessions logged in", "iscsid [option]...", options,
    "Sessions stay in the kernel when iscsid ends; the next one takes them over. A second copy is refused.\n"
    "Started by systemd, it uses the socket it is given and says when it is ready.",
    "iscsid -f -d 1",
};

struct Options {
    std::string config, names, pid_file = "/run/iscsid.pid";
    bool foreground = false, debug = false;
    uid_t uid = 0;
    gid_t gid = 0;
};

// The socket systemd listens on for us (sd_listen_fds(3)), or one of our own.
Result<Fd> take_socket() {
    const char* pid = ::getenv("LISTEN_PID");
    const char* fds = ::getenv("LISTEN_FDS");
    if (pid && fds && std::atoi(pid) == ::getpid() && std::atoi(fds) >= 1) {
        Fd fd(3);
        ::fcntl(3, F_SETFD, FD_CLOEXEC);
        ::fcntl(3, F_SETFL, O_NONBLOCK);
        ::unsetenv("LISTEN_PID");
        ::unsetenv("LISTEN_FDS");
        return fd;
    }
    return mgmt::bind_iscsid_socket();
}

// A daemon that an initramfs has left behind: its root went away with the initramfs, and /proc and /sys with it. It makes
// room for us; the sessions stay in the kernel, where we find them.
bool replace_left_over() {
    auto client = mgmt::IscsidClient::connect();
    if (!client || client->daemon_pid() <= 0) return false;
    struct stat own, theirs;
    const std::string root = "/proc/" + std::to_string(client->daemon_pid()) + "/root";
    if (::stat("/", &own) != 0 || ::stat(root.c_str(), &theirs) != 0) return false;
    if (own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino) return false;
    log::info("replacing iscsid with pid=%d, which runs in another root directory", client->daemon_pid());
    return bool(client->call(mgmt::request(mgmt::IscsidRequest::stop), std::chrono::seconds(5)));
}

Result<void> write_pid_file(const std::string& path) {
    Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!fd) return Error{errno, "write PID file", path};
    char line[24];
    int n = std::snprintf(line, sizeof line, "%d\n", int(::getpid()));
    if (::write(fd.get(), line, size_t(n)) != n) return Error{errno, "write PID file", path};
    return {};
}

// The disk under our own program may be one of ours: nothing of us may be paged out, and we are the last to be killed.
void stay_alive() {
    if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) log::warning("cannot lock memory: %s", std::strerror(errno));
    ::setpriority(PRIO_PROCESS, 0, -10);
    harden_process();
}

std::string host_name() {
    char name[256] = "";
    ::gethostname(name, sizeof name - 1);
    return name;
}

// From the record a session in the kernel was made from, else from what the kernel tells.
Result<initiator::SessionSettings> find_settings(config::Database& database, const config::IscsidConf& conf,
                                                 const mgmt::DaemonIdentity& identity, const kernel::Sysfs& sysfs,
                                                 const kernel::SessionInfo& session) {
    config::NodeFilter filter;
    filter.target = session.target_name;
    filter.address = session.persistent_address;
    filter.port = std::atoi(session.persistent_port.c_str());
    filter.iface = session.iface_name;
    for (const config::Record& record : database.nodes(filter)) {
        auto settings = initiator::session_settings(record, identity.initiator.name, identity.initiator.alias, sysfs);
        if (!settings) continue;
        if (!session.initiator_name.empty()) settings->initiator_name = session.initiator_name;
        return settings;
    }
    log::warning("Could not read data from db. Using default and currently negotiated values");
    return initiator::settings_from_kernel(session, sysfs, conf.new_record(config::Kind::node), identity.initiator.alias);
}

mgmt::DaemonIdentity identify(const Options& o) {
    mgmt::DaemonIdentity identity;
    identity.config_file = o.config;
    auto name = config::ensure_initiator_name(o.names);
    if (name) {
        identity.initiator = *name;
    } else {
        log::error("can't open InitiatorName configuration file %s", o.names.c_str());
        log::warning("%s. Logins fail until there is one.", name.error().text().c_str());
    }
    if (identity.initiator.alias.empty()) identity.initiator.alias = host_name();
    return identity;
}

int serve(const Options& o, Fd socket, Background& background) {
    auto fail = [](const Error& e) {
        log::error("%s", e.text().c_str());
        return 1;
    };
    auto loop = io::Loop::create();
    if (!loop) return fail(loop.error());
    kernel::Sysfs sysfs;
    if (auto loaded = kernel::load_module(sysfs, "scsi_transport_iscsi"); !loaded) log::warning("%s", loaded.error().text().c_str());
    auto channel = kernel::open_netlink();
    if (!channel) return fail(channel.error());
    kernel::Transport transport(std::move(*channel), 0);
    initiator::KernelInitiator engine(**loop, transport, sysfs);
    if (auto started = engine.start(); !started) return fail(started.error());

    config::IscsidConf conf = config::read_iscsid_conf(o.config);
    for (const auto& c : conf.complaints) log::warning("%s", c.message().c_str());
    mgmt::DaemonIdentity identity = identify(o);
    config::Database database(config::state_directory());

    auto signals = Signals::create(**loop, [&](int number) {
        if (number != SIGHUP) (*loop)->stop();
    });
    if (!signals) return fail(signals.error());
    mgmt::SessionOps ops(**loop, engine, identity, [&] { (*loop)->stop(); });
    if (auto listening = ops.listen(std::move(socket)); !listening) return fail(listening.error());
    if (!o.pid_file.empty())
        if (auto written = write_pid_file(o.pid_file); !written) return fail(written.error());
    stay_alive();
    if (o.gid && ::setgid(o.gid) != 0) return fail(Error{errno, "set group", std::to_string(o.gid)});
    if (o.uid && ::setuid(o.uid) != 0) return fail(Error{errno, "set user", std::to_string(o.uid)});
    if (background.detached()) log::open("iscsid", log::Sink::syslog, o.debug ? log::Level::debug : log::Level::info);
    log::info("iSCSI daemon with pid=%d started!", int(::getpid()));
    engine.adopt([&](const kernel::SessionInfo& s) { return find_settings(database, conf, identity, sysfs, s); });
    DiscoveryPolls polls(**loop, database);
    background.ready();
    notify_systemd("READY=1\nSTATUS=Keeping sessions logged in");

    (*loop)->run();
    log::info("iscsid shutting down.");
    notify_systemd("STOPPING=1");
    return 0;
}

bool number(const std::string& text, unsigned& out) {
    char* end;
    unsigned long v = std::strtoul(text.c_str(), &end, 10);
    out = unsigned(v);
    return !text.empty() && !*end && v <= 0xffffffffUL;
}

}  // namespace

int iscsid_main(int argc, char** argv) {
    cli::Parsed parsed = cli::parse(interface, argc, argv);
    if (parsed.error) {
        std::fprintf(stderr, "iscsid: %s\nTry `iscsid --help' for more information.\n", parsed.error->c_str());
        return 1;
    }
    Options o;
    o.config = config::state_directory() + "/iscsid.conf";
    o.names = config::state_directory() + "/initiatorname.iscsi";
    for (const cli::Item& item : parsed.items) {
        unsigned n = 0;
        if (std::strchr("dug", item.option->short_name) && !number(item.value, n)) {
            std::fprintf(stderr, "iscsid: --%s wants a number, not '%s'\n", item.option->long_name, item.value.c_str());
            return 1;
        }
        switch (item.option->short_name) {
        case 'c': o.config = item.value; break;
        case 'i': o.names = item.value; break;
        case 'f': o.foreground = true; break;
        case 'd': o.debug = n > 0; break;
        case 'u': o.uid = n; break;
        case 'g': o.gid = n; break;
        case 'n': o.pid_file.clear(); break;
        case 'p': o.pid_file = item.value; break;
        case 'h': std::fputs(cli::help(interface).c_str(), stdout); return 0;
        case 'v': std::printf("iscsid version %s\n", std::string(config::record_version).c_str()); return 0;
        }
    }
    if (o.foreground) o.pid_file.clear();
    // Until we are ready, who started us reads on stderr what goes wrong.
    log::open("iscsid", log::Sink::foreground, o.debug ? log::Level::debug : log::Level::info);

    auto socket = take_socket();
    if (!socket && socket.error().code == EADDRINUSE && replace_left_over())
        for (int tick = 0; tick < 100 && !socket; tick++) {
            ::poll(nullptr, 0, 50);
            socket = take_socket();
        }
    if (!socket) {
        if (socket.error().code == EADDRINUSE) log::error("Can not bind IPC socket: another iscsid is running");
        else log::error("%s", socket.error().text().c_str());
        return 1;
    }
    Background background;
    if (!o.foreground) {
        ::umask(0177);
        background.detach();
    }
    return serve(o, std::move(*socket), background);
}

}  // namespace iscsi::applets
