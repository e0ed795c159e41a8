// The record database as a tree of files: nodes/IQN/ADDR,PORT,TPGT/IFACE, send_targets/…, isns/…, static/, fw/, ifaces/. Laid out
// and locked as open-iscsi 2.1.8 does, so that both can use the same tree. Files are replaced by rename, mode 0600; folders 0700.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/config/records.h"

namespace iscsi::config {

struct Portal {
    std::string address;          // without brackets
    int port = 3260;
    int tpgt = -1;                // -1: not known
    bool operator==(const Portal&) const = default;
};

// "192.0.2.10", "192.0.2.10:3260,1", "[2001:db8::1]:3260", "2001:db8::1", "host:3260". A trailing ':' is fine.
std::optional<Portal> parse_portal(std::string_view text, int default_port = 3260);
// "192.0.2.10:3260", "[2001:db8::1]:3260"
std::string portal_text(std::string_view address, int port);

// What names a node record; also how records are selected: an empty string, port 0 or tpgt unset match everything.
struct NodeId {
    std::string target, address, iface;
    int port = 3260;
    int tpgt = -1;
    bool operator==(const NodeId&) const = default;
};
NodeId id_of(const Record& node);

struct NodeFilter {
    std::string target, address, iface;
    int port = 0;                 // 0: any
    std::optional<int> tpgt;
    bool matches(const NodeId&) const;
};

// One place a discovery may have been asked.
struct DiscoveryPortal {
    Kind kind;                    // send_targets, isns
    std::string address;
    int port;
};

class Database {
public:
    // `root` is the state directory ("/etc/iscsi"), `lock_folder` "/run/lock/iscsi".
    explicit Database(std::string root, std::string lock_folder = "/run/lock/iscsi");

    const std::string& root() const { return root_; }

    // Held while more than one file changes. Waits up to 30 s as open-iscsi does (3000 tries, 10 ms).
    class Lock {
    public:
        Lock() = default;
        explicit Lock(std::string path) : path_(std::move(path)) {}
        Lock(Lock&& other) noexcept : path_(std::exchange(other.path_, {})) {}
        Lock& operator=(Lock&&) = delete;
        ~Lock();
    private:
        std::string path_;
    };
    Result<Lock> lock();

    // Node records that match, ordered by target, then portal, then iface. Damaged lines are logged as warnings; a file with
    // no node.name is named and left out.
    std::vector<Record> nodes(const NodeFilter& filter = {});
    std::optional<Record> node(const NodeId& id);
    // Writes the file and the link of where it was discovered. `fresh`: an older record of the portal (other tpgt) is replaced.
    Result<void> write_node(const Record& node);
    Result<void> delete_node(const Record& node);       // with links and empty parents
    // Complaints of the last read of this record's file; a damaged file is never rewritten.
    std::vector<Complaint> check_node(const NodeId& id);

    // Ifaces: files, then the built-in "default" and "iser".
    std::vector<Record> ifaces();
    std::optional<Record> iface(std::string_view name);
    static bool special_iface(std::string_view name);   // default, iser: cannot be changed
    Result<void> write_iface(const Record& iface);
    Result<void> delete_iface(std::string_view name);

    // Discovery records.
    std::vector<DiscoveryPortal> discoveries(Kind kind);
    std::optional<Record> discovery(Kind kind, std::string_view address, int port);
    Result<void> write_discovery(const Record& record);
    // With its links and the node records they lead to.
    Result<void> delete_discovery(Kind kind, std::string_view address, int port);
    // Node records found by one discovery ("send_targets", "isns", "static", "fw"; address empty for the last two).
    std::vector<Record> found_by(std::string_view type, std::string_view address, int port);

private:
    std::string root_, lock_folder_;
};

// A copy of the iface's 55 keys into a node record.
void bind_iface(Record& node, const Record& iface);

}  // namespace iscsi::config
