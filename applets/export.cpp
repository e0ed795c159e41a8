// `iscsi export`: files and disks offered to initiators in the foreground, in one command. See export_lines.cpp for what it
// prints.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "applets/applet.h"
#include "applets/cli.h"
#include "applets/daemon.h"
#include "applets/export.h"
#include "applets/one_shot.h"
#include "applets/units.h"
#include "core/base/format.h"
#include "core/base/log.h"
#include "core/base/random.h"
#include "core/base/sizes.h"
#include "core/mgmt/host_seed.h"
#include "core/scsi/disk.h"
#include "core/store/in_use.h"
#include "core/target/server.h"

namespace iscsi::applets {
namespace {

using cli::Arg;

constexpr cli::Option options[] = {
    {0, "chap", Arg::required, "USER", "ask initiators for this CHAP user; the secret comes from --secret-file, "
                                       "$ISCSI_CHAP_SECRET or a prompt"},
    {0, "secret-file", Arg::required, "FILE", "its first line is the CHAP secret"},
    {0, "allow", Arg::required, "CIDR", "only initiators at this address or network; repeatable"},
    {0, "initiator", Arg::required, "IQN", "only the initiator of this name; repeatable"},
    {0, "open", Arg::none, nullptr, "anybody may log in, without authentication"},
    {'r', "read-only", Arg::none, nullptr, "initiators cannot write"},
    {'n', "name", Arg::required, "IQN", "name of the target (made from host and first disk)"},
    {'p', "portal", Arg::required, "ADDR[:PORT]", "listen there; repeatable (all addresses, port 3260)"},
    {'b', "block-size", Arg::required, "BYTES", "512 (default) or 4096"},
    {'c', "create", Arg::required, "SIZE", "make the file, sparse, if it does not exist: 64M, 10G, 1T"},
    {0, "vendor", Arg::required, "TEXT", "INQUIRY vendor (8 characters)"},
    {0, "product", Arg::required, "TEXT", "INQUIRY product (16 characters)"},
    {0, "serial", Arg::required, "TEXT", "unit serial number (36 characters)"},
    {0, "for", Arg::required, "DURATION", "end after that time: 90s, 30m, 8h, 2d"},
    {0, "once", Arg::none, nullptr, "end when the last initiator has logged out"},
    {'f', "force", Arg::none, nullptr, "although it is mounted or used otherwise"},
    {'j', "json", Arg::none, nullptr, "what was set up, and events, as JSON lines"},
    {'t', "threads", Arg::required, "N", "event loops that serve sessions (one per core)"},
    {'h', "help", Arg::none, nullptr, "show this"},
};

constexpr cli::Interface interface = {
    "iscsi export", "offer files or block devices to iSCSI initiators", "iscsi export [option]... FILE...", options,
    "The disks are LUN 1, 2, ... of one target. Unless --chap, --allow, --initiator or\n"
    "--open says who may log in, a CHAP user and secret are made and printed. Ctrl-C asks\n"
    "the initiators to log out, finishes what is in flight, flushes and ends; a second one\n"
    "ends at once.",
    "iscsi export /dev/vdb\niscsi export --create 10G --allow 192.0.2.0/24 disk.img", 1};

// What cannot be done.
__attribute__((format(printf, 1, 2))) int fail(const char* format, ...) {
    std::string text;
    va_list arguments;
    va_start(arguments, format);
    append_list(text, format, arguments);
    va_end(arguments);
    return tool_error(interface, text);
}

// What the command line says wrong.
__attribute__((format(printf, 1, 2))) int refuse(const char* format, ...) {
    std::string text;
    va_list arguments;
    va_start(arguments, format);
    append_list(text, format, arguments);
    va_end(arguments);
    return usage_error(interface, text);
}

// 16 characters of 64: 96 bits, and short enough for initiators that take no more than 16.
std::string make_secret() {
    static constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[16];
    fill_random(random);
    std::string secret;
    for (uint8_t r : random) secret += alphabet[r & 63];
    if (secret[0] == '-') secret[0] = 'x';      // not an option on somebody's command line
    return secret;
}

Result<std::string> ask_secret(const std::string& user) {
    Fd tty(::open("/dev/tty", O_RDWR | O_CLOEXEC));
    if (!tty) return Error{0, "no CHAP secret: use --secret-file or $ISCSI_CHAP_SECRET", ""};
    std::string prompt = "CHAP secret of " + user + ": ", secret;
    (void)!::write(tty.get(), prompt.data(), prompt.size());
    termios before{}, quiet;
    ::tcgetattr(tty.get(), &before);
    quiet = before;
    quiet.c_lflag &= ~tcflag_t(ECHO);
    ::tcsetattr(tty.get(), TCSAFLUSH, &quiet);
    char c;
    while (::read(tty.get(), &c, 1) == 1 && c != '\n' && secret.size() < 256) secret += c;
    ::tcsetattr(tty.get(), TCSAFLUSH, &before);
    (void)!::write(tty.get(), "\n", 1);
    return secret;
}

Result<std::string> read_secret(const cli::Parsed& p, const std::string& user) {
    std::string secret;
    if (auto file = p.get("secret-file")) {
        FILE* f = std::fopen(file->c_str(), "re");
        if (!f) return Error{errno, "read", *file};
        char line[512];
        if (std::fgets(line, sizeof line, f)) secret = line;
        std::fclose(f);
        while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
    } else if (const char* environment = std::getenv("ISCSI_CHAP_SECRET")) {
        secret = environment;
    } else {
        secret = TRY(ask_secret(user));
    }
    // RFC 7143 §12.1.3: at least 96 bits where the traffic is not encrypted.
    if (secret.size() < 12) return Error{0, "the CHAP secret is shorter than 12 characters", ""};
    return secret;
}

// A letter-digit-dash piece of an IQN.
std::string iqn_part(std::string text) {
    std::string out;
    for (char c : text) {
        if (c >= 'A' && c <= 'Z') c = char(c + 32);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-') out += c;
        else if (!out.empty() && out.back() != '-') out += '-';
    }
    while (!out.empty() && (out.back() == '.' || out.back() == '-')) out.pop_back();
    return out.empty() ? "disk" : out;
}

std::string default_name(const std::string& path) {
    char host[256] = "localhost";
    ::gethostname(host, sizeof host - 1);
    return "iqn.2003-01.org.iscsi." + iqn_part(host) + ":" + iqn_part(path.substr(path.rfind('/') + 1));
}

Result<void> create_sparse(const std::string& path, uint64_t size) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) {
        if (errno == EEXIST) return {};
        return Error{errno, "create", path};
    }
    if (::ftruncate(fd.get(), off_t(size)) != 0) {
        Error error{errno, "create", path};
        ::unlink(path.c_str());
        return error;
    }
    return {};
}

// Makes the disks and the target; claims hold the files as ours.
int build(const cli::Parsed& p, target::Directory& directory, ExportPlan& plan, std::vector<Fd>& claims) {
    auto target = directory.add(1, plan.name);
    scsi::UnitIdentity identity;
    identity.target_name = plan.name;
    identity.host_seed = mgmt::host_seed();
    target->router.add(0, scsi::make_controller(identity));
    for (const std::string& path : p.words) {
        if (auto size = p.get("create")) {
            auto bytes = parse_size(*size);
            if (!bytes || *bytes < plan.block_size) return refuse("--create %s is not a size (64M, 10G, 1T)", size->c_str());
            if (auto made = create_sparse(path, *bytes); !made) return fail("%s", made.error().text().c_str());
        }
        if (!p.has("force")) {
            if (auto holder = store::holder_of(path)) return fail("%s: %s; --force exports it all the same", path.c_str(), holder->c_str());
        }
        identity.lun = plan.luns.size() + 1;
        scsi::DiskOptions d;
        d.identity = identity;
        d.path = path;
        d.block_size = plan.block_size;
        d.read_only = p.has("read-only");
        auto disk = scsi::Disk::create(d);
        if (!disk) {
            const bool could_make = disk.error().code == ENOENT && !path.starts_with("/dev/") && !p.has("create");
            return fail("%s%s", disk.error().text().c_str(), could_make ? "; --create SIZE makes it" : "");
        }
        if ((*disk)->status().size == 0) return fail("%s is smaller than a block of %u bytes", path.c_str(), plan.block_size);
        auto claimed = store::claim(path);
        if (claimed) claims.push_back(std::move(*claimed));
        else if (!p.has("force")) return fail("%s is exported already; --force exports it all the same", path.c_str());
        // `iscsi export` gives space back: UNMAP punches holes.
        (*disk)->set("thin_provisioning", "1");
        if (auto v = p.get("vendor")) (*disk)->set("vendor_id", *v);
        if (auto v = p.get("product")) (*disk)->set("product_id", *v);
        if (auto v = p.get("serial")) (*disk)->set("scsi_sn", *v);
        bool read_only = (*disk)->status().read_only;
        if (read_only && !p.has("read-only")) std::fprintf(stderr, "iscsi export: %s can only be read: exported read-only\n", path.c_str());
        plan.luns.push_back({identity.lun, path, (*disk)->status().size, read_only});
        target->router.add(identity.lun, std::move(*disk));
    }
    target->change([&](target::TargetConfig& c) {
        c.limits.header_digest = c.limits.data_digest = nego::Digests::none_crc32c;
        c.limits.initial_r2t = false;
        for (const std::string& rule : p.all("allow")) c.acl.add_address(rule);
        for (const std::string& name : p.all("initiator")) c.acl.add_name(name);
        if (c.acl.addresses().empty() && c.acl.names().empty()) c.acl.add_address("ALL");
        if (!plan.user.empty()) c.incoming_users.push_back(plan.user);
    });
    if (!plan.user.empty()) directory.add_account(plan.user, Secret(plan.secret));
    return 0;
}

int authentication(const cli::Parsed& p, ExportPlan& plan) {
    if (auto user = p.get("chap")) {
        if (user->empty() || user->size() > 255) return refuse("--chap needs a user name of 1 to 255 characters");
        auto secret = read_secret(p, *user);
        if (!secret) return fail("%s", secret.error().text().c_str());
        plan.user = *user;
        plan.secret = *secret;
    } else if (!p.has("allow") && !p.has("initiator") && !p.has("open")) {
        plan.user = "export";
        plan.secret = make_secret();
        plan.secret_made = true;
    }
    return 0;
}

void flush(target::Directory& directory) {
    for (const auto& t : directory.targets())
        for (const auto& [number, unit] : *t->router.table())
            if (auto* disk = dynamic_cast<scsi::Disk*>(unit.get())) {
                store::Request request;
                request.op = store::Op::flush;
                if (int error = disk->store()->perform(request)) fail("flush LUN %d: %s", int(number), std::strerror(error));
            }
}

int run(const cli::Parsed& p, ExportPlan& plan, target::Directory& directory) {
    target::ServerOptions server_options;
    if (auto threads = p.get("threads")) {
        server_options.threads = unsigned(parse_number(*threads, 1, 256).value_or(0));
        if (!server_options.threads) return refuse("--threads %s is not between 1 and 256", threads->c_str());
    } else {
        server_options.threads = default_threads();
    }
    server_options.busy_poll_us = default_busy_poll_us();
    const bool json = p.has("json"), once = p.has("once");
    target::Server* running = nullptr;
    server_options.on_event = [&](const char* event, const target::SessionRecord& session) {
        print_event(event, session, json);
        if (once && std::strcmp(event, "logout") == 0) {
            running->loop().post([&] {
                if (directory.sessions.size() == 0) running->shut_down(1000);
            });
        }
    };
    auto server = target::Server::create(directory, server_options);
    if (!server) return fail("%s", server.error().text().c_str());
    running = server->get();
    bool ending = false;
    auto signals = Signals::create((*server)->loop(), [&](int signal) {
        if (signal == SIGHUP) return;
        if (ending) return running->stop();
        ending = true;
        running->shut_down(3000);
    });
    for (const std::string& text : p.all("portal")) {
        auto parts = io::split_host_port(text[0] == ':' ? "0.0.0.0" + text : text, target::default_portal_port);
        if (!parts) return refuse("--portal %s is not ADDRESS[:PORT]", text.c_str());
        if (auto added = running->add_portal(parts->host, parts->port); !added) return fail("%s", added.error().text().c_str());
    }
    if (p.all("portal").empty())
        if (auto added = running->add_default_portals(); !added)
            return fail("%s; another target runs here? --portal ADDR:PORT takes another port", added.error().text().c_str());
    plan.portals = running->portals();
    print_plan(plan, json);
    io::Timer limit(running->loop(), [&] { running->shut_down(3000); });
    if (plan.seconds) limit.arm(plan.seconds * 1000);
    notify_systemd("READY=1");
    harden_process();
    running->run();
    flush(directory);
    return 0;
}

}  // namespace

int export_main(int argc, char** argv) {
    cli::Parsed p = cli::parse(interface, argc, argv);
    if (const auto code = settled(interface, p)) return *code;
    log::open("iscsi export", log::Sink::foreground, log::Level::info);
    if (p.words.empty()) return refuse("which file or device? See iscsi export --help");
    ExportPlan plan;
    plan.name = p.get("name").value_or(default_name(p.words.front()));
    if (!wire::valid_iscsi_name(plan.name)) return refuse("--name %s is not an iSCSI name: iqn.YYYY-MM.domain:name, lower case", plan.name.c_str());
    if (p.has("name") && !plan.name.starts_with("iqn.") && !plan.name.starts_with("eui.") && !plan.name.starts_with("naa."))
        return refuse("--name %s does not begin with iqn., eui. or naa. (iqn.YYYY-MM.domain:name)", plan.name.c_str());
    for (const std::string& rule : p.all("allow"))
        if (!target::is_address_rule(rule)) return refuse("--allow %s is not an address, ADDRESS/BITS or ALL", rule.c_str());
    if (auto duration = p.get("for")) {
        plan.seconds = parse_duration(*duration).value_or(0);
        if (plan.seconds == 0) return refuse("--for %s is not a duration (90s, 30m, 8h, 2d)", duration->c_str());
    }
    for (auto [option, most] : {std::pair("vendor", 8u), {"product", 16u}, {"serial", 36u}})
        if (p.get(option).value_or("").size() > most) return refuse("--%s holds %u characters", option, most);
    if (auto size = p.get("block-size")) {
        if (*size != "512" && *size != "4096") return refuse("--block-size %s: 512 or 4096", size->c_str());
        plan.block_size = *size == "512" ? 512 : 4096;
    }
    if (int code = authentication(p, plan)) return code;
    target::Directory directory;
    std::vector<Fd> claims;
    if (int code = build(p, directory, plan, claims)) return code;
    return run(p, plan, directory);
}

}  // namespace iscsi::applets
