// `iscsi boot`: from the kernel command line to a disk, in an initramfs of nothing but a shell and this binary. Brings up
// the network, logs in, waits for the disk, prints its device.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "applets/applet.h"
#include "applets/boot_login.h"
#include "applets/cli.h"
#include "applets/one_shot.h"
#include "applets/units.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/config/firmware.h"
#include "core/config/iscsid_conf.h"
#include "core/config/node_records.h"
#include "core/initiator/boot.h"
#include "core/kernel/modules.h"

namespace iscsi::applets {
namespace {

using cli::Arg;
using config::Key;

constexpr cli::Option options[] = {
    {'c', "cmdline", Arg::required, "TEXT", "read this instead of /proc/cmdline"},
    {'t', "timeout", Arg::required, "SECONDS", "wait so long for the disk (30)"},
    {'d', "debug", Arg::none, nullptr, "say every step"},
    {'h', "help", Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "iscsi boot", "from the kernel command line to a disk: network, login, device", "iscsi boot [option]...", options,
    "Reads root=iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET (RFC 4173), netroot=iscsi:[USER:SECRET@]…, iscsi_target_name=,\n"
    "iscsi_target_ip=, …, their rd.iscsi.* forms, iscsi_auto (firmware) and ip=. With no ip= and no address on any\n"
    "interface it asks for one by DHCP. Prints the disk's device, one line per target. Needs /proc, /sys and /dev.",
    "disk=$(iscsi boot) && mount $disk /root",
};
constexpr int exit_invalid = 7, exit_no_firmware = 21;

std::string read_text(const char* path) {
    std::string out;
    Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
    char buffer[4096];
    ssize_t n;
    while (fd && out.size() < 65536 && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0) out.append(buffer, size_t(n));
    return out;
}

int complain(const Error& e, int code) {
    std::fprintf(stderr, "iscsi boot: %s\n", e.text().c_str());
    return code;
}

// The network as asked for, or DHCP where nothing is asked for and nothing is there.
Result<void> bring_up(initiator::BootRequest& b) {
    if (b.network_off) return {};
    if (b.networks.empty() && !b.root_from_dhcp && initiator::any_address()) return {};
    if (b.networks.empty()) {
        initiator::NetworkPlan plan;
        plan.dhcp = true;
        b.networks.push_back(plan);
    }
    for (initiator::NetworkPlan& plan : b.networks) {
        if (plan.device.empty()) plan.device = b.net_device.empty() ? initiator::first_network_device() : b.net_device;
        if (plan.device.empty()) return Error{0, "there is no network device (is its driver loaded?)", ""};
        initiator::DhcpLease lease;
        TRY_VOID(initiator::set_up_network(plan, &lease));
        if (b.root_from_dhcp && b.target_name.empty() && !lease.root_path.empty())
            TRY_VOID(initiator::parse_root_path(lease.root_path, b));
    }
    return {};
}

struct Wanted {
    BootTarget target;
    std::optional<uint64_t> lun;
};

Result<std::string> initiator_name(const initiator::BootRequest& b) {
    if (!b.initiator_name.empty()) return b.initiator_name;
    auto name = TRY(config::ensure_initiator_name(config::state_directory() + "/initiatorname.iscsi"));
    return name.name;
}

Result<Wanted> from_request(const initiator::BootRequest& b, config::Record node) {
    node.set(Key::node_name, b.target_name);
    node.set(Key::conn_address, b.address);
    node.set(Key::conn_port, int64_t(b.port));
    node.set(Key::node_tpgt, int64_t(b.tpgt));
    node.set(Key::iface_name, b.iface_name.empty() ? "default" : b.iface_name);
    node.set(Key::iface_net_ifacename, b.net_device);
    node.set(Key::node_startup, "onboot");
    if (!b.user.empty()) node.set(Key::authmethod, "CHAP");
    node.set(Key::username, b.user);
    node.set(Key::password, b.password.reveal());
    node.set(Key::username_in, b.user_in);
    node.set(Key::password_in, b.password_in.reveal());
    for (const auto& [key, value] : b.params)
        if (node.set(key, value) != config::Record::Set::ok) return Error{0, "bad parameter " + key + "=" + value, ""};
    return Wanted{{std::move(node), TRY(initiator_name(b))}, b.lun};
}

// The device of the session's disk, waited for.
std::string find_disk(uint32_t sid, std::optional<uint64_t> lun, unsigned seconds) {
    kernel::Sysfs sysfs;
    for (unsigned tick = 0; tick <= seconds * 20; tick++) {
        for (const kernel::ScsiDevice& d : sysfs.devices(sid))
            if (!d.block.empty() && (!lun || d.lun == *lun) && ::access(("/dev/" + d.block).c_str(), F_OK) == 0)
                return "/dev/" + d.block;
        ::poll(nullptr, 0, 50);
    }
    return "";
}

int boot(initiator::BootRequest b, unsigned seconds) {
    kernel::Sysfs sysfs;
    if (auto loaded = kernel::load_module(sysfs, "sd_mod"); !loaded) log::debug("%s", loaded.error().text().c_str());
    config::Record base = config::read_iscsid_conf(config::state_directory() + "/iscsid.conf").new_record(config::Kind::node);
    std::vector<Wanted> wanted;
    config::Firmware firmware;
    if (b.firmware) {
        (void)kernel::load_module(sysfs, "iscsi_ibft");
        auto found = config::read_firmware();
        if (!found || found->targets.empty()) return complain(Error{0, "the firmware has no iSCSI boot table", ""}, exit_no_firmware);
        firmware = std::move(*found);
        for (const config::FirmwareNic& nic : firmware.nics) {
            initiator::NetworkPlan plan;
            plan.device = nic.net_ifacename;
            plan.address = nic.ip_address;
            plan.netmask = nic.subnet_mask;
            plan.gateway = nic.gateway;
            plan.dhcp = nic.origin == 3;
            if (nic.prefix_len > 0) plan.prefix = unsigned(nic.prefix_len);
            if (!plan.device.empty()) b.networks.push_back(plan);
        }
        for (const config::FirmwareTarget& t : firmware.targets) {
            std::string name = b.initiator_name.empty() ? firmware.initiator_name : b.initiator_name;
            wanted.push_back({{config::firmware_node(firmware, t, base), name}, initiator::parse_boot_lun(t.lun)});
        }
    }
    if (auto up = bring_up(b); !up) return complain(up.error(), int(initiator::InitiatorError::transport));
    if (!b.target_name.empty()) {
        auto one = from_request(b, base);
        if (!one) return complain(one.error(), exit_invalid);
        wanted.push_back(std::move(*one));
    }
    if (wanted.empty()) return complain(Error{0, "DHCP gave no root path (option 17)", ""}, exit_invalid);

    std::vector<BootTarget> targets;
    for (const Wanted& w : wanted) targets.push_back(w.target);
    BootOutcome outcome = boot_login(std::move(targets), Repeated::fine);
    int rc = int(outcome.first_error);
    for (size_t i = 0; i < wanted.size(); i++) {
        if (!outcome.sessions[i]) continue;
        std::string disk = find_disk(outcome.sessions[i], wanted[i].lun, seconds);
        if (disk.empty()) {
            std::fprintf(stderr, "iscsi boot: logged in to %s, but no disk appears%s\n",
                         wanted[i].target.node.text(Key::node_name).c_str(), wanted[i].lun ? " with the LUN asked for" : "");
            rc = rc ? rc : int(initiator::InitiatorError::no_objects_found);
        } else {
            std::puts(disk.c_str());
        }
    }
    return rc;
}

}  // namespace

int boot_main(int argc, char** argv) {
    cli::Parsed parsed = cli::parse(interface, argc, argv);
    if (const auto code = settled(interface, parsed)) return *code;
    const auto seconds = parse_number(parsed.get("timeout").value_or("30"), 0, 86400);
    if (!seconds) return usage_error(interface, "--timeout is a number of seconds, not '" + *parsed.get("timeout") + "'");
    log::open("iscsi boot", log::Sink::foreground, parsed.has("debug") ? log::Level::debug : log::Level::warning);
    auto request = initiator::parse_cmdline(parsed.get("cmdline").value_or(read_text("/proc/cmdline")));
    if (!request) return complain(request.error(), exit_invalid);
    return boot(std::move(*request), unsigned(*seconds));
}

}  // namespace iscsi::applets
