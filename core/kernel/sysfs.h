// What the kernel says of iSCSI sessions, their connections, hosts and SCSI devices in /sys, and the few switches there:
// scan, rescan, delete, queue depth. Attributes may be missing (older kernels) or read "(null)": then they are empty.
// Values are untrusted text of at most a page, cut at the first newline.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace iscsi::kernel {

// One logical unit of a session.
struct ScsiDevice {
    int host = 0, channel = 0, id = 0;
    uint64_t lun = 0;
    std::string state;                  // "running", "blocked", "offline", "transport-offline"
    std::string block;                  // "sda"; empty if no disk driver holds it
    std::string type;                   // SCSI peripheral device type, decimal: "0", "12"
    std::string name() const;           // "0:0:0:1"
};

struct SessionInfo {
    uint32_t sid = 0;
    int host = -1;
    std::string target_name, tpgt, iface_name, initiator_name;
    std::string state;                  // LOGGED_IN, FAILED, FREE
    std::string connection_state;       // up, failed, bound, down; empty if there is no connection
    std::string address, port;          // where it is connected now
    std::string persistent_address, persistent_port;
    std::string path;                   // "/sys/devices/platform/host0/session1"
};

struct HostInfo {
    int number = -1;
    std::string state, ip_address, hw_address, netdev, initiator_name, transport;
};

class Sysfs {
public:
    // `root` holds class/, bus/, module/; `proc` mounts, swaps. Tests give a tree of their own.
    explicit Sysfs(std::string root = "/sys", std::string proc = "/proc") : root_(std::move(root)), proc_(std::move(proc)) {}

    std::optional<uint64_t> transport_handle(std::string_view transport = "tcp") const;
    std::string transport_version() const;          // "2.0-870"; empty if not loaded
    bool module_loaded(std::string_view module) const;      // or built in

    std::vector<uint32_t> session_ids() const;      // in the directory's order
    std::optional<SessionInfo> session(uint32_t sid) const;
    std::vector<SessionInfo> sessions() const;      // those that vanish meanwhile are left out
    std::string session_attribute(uint32_t sid, std::string_view name) const;
    std::string connection_attribute(uint32_t sid, std::string_view name) const;    // of connection 0
    Result<void> set_session_attribute(uint32_t sid, std::string_view name, std::string_view value) const;

    std::vector<int> host_numbers() const;
    std::optional<HostInfo> host(int number) const;
    // The number of the session's SCSI host, -1 if unknown.
    int host_of_session(uint32_t sid) const;

    std::vector<ScsiDevice> devices(uint32_t sid) const;    // by H:C:T:L
    Result<void> scan_host(int host, std::string_view what = "- - -") const;
    Result<void> rescan_device(const ScsiDevice& device) const;     // capacity
    Result<void> delete_device(const ScsiDevice& device) const;
    Result<void> set_queue_depth(const ScsiDevice& device, uint32_t depth) const;

    // Whether a file system or swap lies on one of the session's disks, their partitions or anything stacked on them.
    // The text says what: "/dev/sda1 on /mnt".
    std::optional<std::string> in_use(uint32_t sid) const;

    // The network interface with this hardware address ("aa:bb:…").
    std::string netdev_by_address(std::string_view hw_address) const;

    const std::string& root() const { return root_; }

private:
    std::string read(const std::string& path) const;
    Result<void> write(const std::string& path, std::string_view value) const;
    void collect_block(const std::string& block, std::vector<std::string>& names, int depth) const;

    std::string root_, proc_;
};

}  // namespace iscsi::kernel
