// iscsi attach, iscsi detach: a logical unit as a block device by the kernel's nbd driver, for kernels without iSCSI.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "applets/applet.h"
#include "applets/daemon.h"
#include "applets/initiator_tool.h"
#include "applets/units.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sizes.h"
#include "core/initiator/advice.h"
#include "core/initiator/nbd_server.h"
#include "core/kernel/modules.h"

namespace iscsi::applets {
namespace {

using namespace initiator;

constexpr cli::Option attach_options[] = {
    {'D', "device", cli::Arg::required, "N", "use /dev/nbdN (the first that is free)"},
    {'r', "read-only", cli::Arg::none, nullptr, "refuse writes"},
    {'T', "timeout", cli::Arg::required, "SECONDS", "a lost session is tried for so long before I/O fails (120); 0: for ever"},
    {'q', "depth", cli::Arg::required, "N", "commands in flight (128)"},
    {'f', "foreground", cli::Arg::none, nullptr, "stay in the foreground, log to stderr"},
    ISCSI_INITIATOR_OPTIONS,
};
constexpr cli::Interface attach_interface = {
    "iscsi attach", "make a logical unit a block device by the nbd driver",
    "iscsi attach [option]... iscsi://HOST[:PORT]/TARGET/LUN", attach_options, url_help,
    "iscsi attach iscsi://192.0.2.10/iqn.2001-04.com.example:disk1/1\niscsi detach /dev/nbd0\n", 8};

constexpr cli::Option detach_options[] = {
    {'f', "force", cli::Arg::none, nullptr, "although it is in use"},
    {'h', "help", cli::Arg::none, nullptr, "show this"},
};
constexpr cli::Interface detach_interface = {
    "iscsi detach", "end what iscsi attach began", "iscsi detach [--force] /dev/nbdN...", detach_options, nullptr, "iscsi detach /dev/nbd0\n", 8};

constexpr uint64_t come_back_ms = 2000, ask_limit_ms = 60000;
constexpr int set_io_flusher = 57;                      // PR_SET_IO_FLUSHER: our memory allocations do not wait for our own disk

// True if nobody has the device open exclusively (mounted, swap, dm, md).
bool idle_device(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    return bool(fd) || errno != EBUSY;
}

// A session that is made again when it has ended, and the device in front of it.
class Attachment final : private SessionOwner, private NbdServer::Owner {
public:
    Attachment(io::Loop& loop, SessionConfig config) : loop_(loop), config_(std::move(config)), again_(loop, [this] { connect(); }) {}

    Result<void> start(const kernel::NbdDevice& device, NbdServer::Settings settings) {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return Error{errno, "socketpair", ""};
        Fd ours(ends[0]), kernels(ends[1]);
        // The driver's side waits: it is the kernel's threads that read there.
        ::fcntl(kernels.get(), F_SETFL, ::fcntl(kernels.get(), F_GETFL) & ~O_NONBLOCK);
        NbdServer::Owner& owner = *this;
        server_ = std::make_unique<NbdServer>(loop_, std::move(ours), std::move(settings), owner);
        connect();
        while (!up_ && !ended_) loop_.run_once(-1);
        if (!up_) return Error{0, why_, ""};
        index_ = TRY(kernel::nbd_connect(device, kernels.get()));
        return {};
    }

    void run() {
        while (!over_) loop_.run_once(-1);
        again_.cancel();
        server_->use(nullptr);
        if (session_ && session_->is_up()) {
            session_->logout();
            while (!ended_) loop_.run_once(-1);
        } else if (session_) {
            session_->abandon("detached");
        }
        server_.reset();
        session_.reset();
    }

    void detach() {
        const std::string path = "/dev/nbd" + std::to_string(index_);
        if (!asked_ && !idle_device(path)) {
            asked_ = true;
            return log::warning("%s is in use; once more to detach it nevertheless", path.c_str());
        }
        ask_driver([this] { return kernel::nbd_disconnect(index_); });
    }
    uint32_t index() const { return index_; }

private:
    void connect() {
        session_.reset();                               // the last one has ended
        ended_ = false;
        SessionOwner& owner = *this;
        session_ = std::make_unique<Session>(loop_, config_, owner);
        session_->start();
    }
    void session_up(Session& s) override {
        if (up_) log::info("session is back");
        up_ = true;
        server_->use(&s);
    }
    void session_down(Session&, const std::string& why) override { log::warning("session lost: %s", why.c_str()); }
    void session_ended(Session&, const SessionEnd& end) override {
        server_->use(nullptr);
        ended_ = true;
        why_ = end.text + advice(end, !config_.login.chap.account.user.empty());
        if (over_ || !up_) return;
        log::error("session ended: %s; I/O fails until it is back", end.text.c_str());
        again_.arm(come_back_ms);
    }
    void nbd_disconnected() override { over_ = true; }
    void nbd_resized(uint64_t bytes) override {
        log::info("/dev/nbd%u is now %s large", index_, brief_size(bytes).c_str());
        ask_driver([this, bytes] { return kernel::nbd_resize(index_, bytes); });
    }
    // In a process of its own, because the driver may wait for requests that only we can answer.
    template <class Ask>
    void ask_driver(Ask ask) {
        if (::fork() != 0) return;
        auto done = ask();
        if (!done) log::error("/dev/nbd%u: %s", index_, done.error().text().c_str());
        ::_exit(done ? 0 : 1);
    }

    io::Loop& loop_;
    SessionConfig config_;
    io::Timer again_;
    std::unique_ptr<NbdServer> server_;
    std::unique_ptr<Session> session_;
    uint32_t index_ = 0;
    bool up_ = false, ended_ = false, over_ = false, asked_ = false;
    std::string why_;
};

Result<std::pair<DiskInfo, bool>> ask_disk(const SessionConfig& config, uint64_t lun) {
    SessionConfig once = config;
    once.replacement_timeout_ms = 0;
    auto client = TRY(Client::connect(once, nullptr, ask_limit_ms));
    auto disk = TRY(disk_info(*client, lun));
    if (disk.block_size < 512 || disk.block_size > 4096)
        return Error{0, "the nbd driver has blocks of 512 to 4096 bytes, the unit's have", std::to_string(disk.block_size)};
    auto page = raw_inquiry(*client, lun, true, 0xb1);
    const bool rotational = page && page->size() >= 6 && get16(&(*page)[4]) > 1;
    return std::pair<DiskInfo, bool>(disk, rotational);
}

}  // namespace

int attach_main(int argc, char** argv) {
    ToolLine line = tool_line(attach_interface, argc, argv, 1, 1);
    if (line.exit_code >= 0) return line.exit_code;
    const cli::Parsed& p = line.parsed;
    auto url = disk_url(p.words[0]);
    if (!url) return usage_error(attach_interface, url.error().text());
    const auto depth = parse_number(p.get("depth").value_or("128"), 1, 1024);
    const auto device_number = parse_number(p.get("device").value_or("0"), 0, 1 << 20);
    if (!depth || !device_number) return usage_error(attach_interface, "bad number; see --help");
    if (::geteuid() != 0) return tool_error(attach_interface, "must be root to make a block device");
    if (auto loaded = kernel::load_module(kernel::Sysfs("/sys"), "nbd"); !loaded)
        return tool_error(attach_interface, "no nbd driver in this kernel: " + loaded.error().text());

    SessionConfig config = session_for(line, *url);
    config.replacement_timeout_ms = line.timeout_ms ? line.timeout_ms : UINT64_MAX / 2;
    config.max_commands = unsigned(*depth);
    config.receive_buffer = 64 * 1024;
    const uint64_t lun = lun_field(*url->lun);
    auto asked = ask_disk(config, lun);
    if (!asked) return tool_error(attach_interface, url->text() + ": " + asked.error().text());
    DiskInfo disk = asked->first;
    if (p.has("read-only")) disk.read_only = true;

    Background background;
    if (!p.has("foreground")) background.detach();
    ::prctl(set_io_flusher, 1, 0, 0, 0);
    harden_process();
    auto loop = io::Loop::create();
    if (!loop) return tool_error(attach_interface, loop.error().text());
    (*loop)->set_busy_poll(default_busy_poll_us());
    Attachment attachment(**loop, config);
    auto signals = Signals::create(**loop, [&](int number) {
        if (number != SIGHUP) attachment.detach();
    });
    ::signal(SIGCHLD, SIG_IGN);

    kernel::NbdDevice device;
    device.bytes = disk.bytes();
    device.block_size = disk.block_size;
    device.read_only = disk.read_only;
    device.can_trim = disk.unmap || disk.write_same_unmap;
    device.rotational = asked->second;
    if (p.has("device")) device.index = uint32_t(*device_number);
    NbdServer::Settings settings;
    settings.lun = lun;
    settings.disk = disk;
    settings.depth = unsigned(*depth);
    if (auto started = attachment.start(device, settings); !started)
        return tool_error(attach_interface, url->text() + ": " + started.error().text());
    std::printf("/dev/nbd%u\n", attachment.index());
    std::fflush(stdout);
    if (background.detached()) log::open("iscsi attach", log::Sink::syslog, p.has("debug") ? log::Level::debug : log::Level::info);
    background.ready();
    attachment.run();
    return 0;
}

int detach_main(int argc, char** argv) {
    ToolLine line = tool_line(detach_interface, argc, argv, 1, 64);
    if (line.exit_code >= 0) return line.exit_code;
    int exit_code = 0;
    for (const std::string& path : line.parsed.words) {
        const char* name = path.rfind("/dev/", 0) == 0 ? path.c_str() + 5 : path.c_str();
        char* end = nullptr;
        const unsigned long index = std::strncmp(name, "nbd", 3) == 0 && name[3] >= '0' && name[3] <= '9' ? std::strtoul(name + 3, &end, 10) : 0;
        if (!end || *end || index > (1 << 20)) {
            exit_code = usage_error(detach_interface, path + " is no /dev/nbdN");
            continue;
        }
        const std::string device = "/dev/nbd" + std::to_string(index), pid = "/sys/block/nbd" + std::to_string(index) + "/pid";
        if (!exists(pid)) {
            exit_code = tool_error(detach_interface, device + " is not attached");
            continue;
        }
        Fd fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC | (line.parsed.has("force") ? 0 : O_EXCL)));
        if (!fd) {
            exit_code = tool_error(detach_interface, device + (errno == EBUSY ? " is in use (mounted?): unmount it, or --force"
                                                                              : std::string(": ") + std::strerror(errno)));
            continue;
        }
        ::fsync(fd.get());
        fd.reset();
        if (auto done = kernel::nbd_disconnect(uint32_t(index)); !done) exit_code = tool_error(detach_interface, device + ": " + done.error().text());
        for (int i = 0; i < 50 && exists(pid); i++) ::usleep(100000);      // until the driver has let go of it
    }
    return exit_code;
}

}  // namespace iscsi::applets
