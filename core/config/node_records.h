// The record database as a tree of files: nodes/IQN/ADDR,PORT,TPGT/IFACE, send_targets/…, isns/…, static/, fw/, ifaces/. Laid out
// and locked as open-iscsi 2.1.8 does, so that both can use the same tree. Files are replaced by rename, mode 0600; folders 0700.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config/records.h"

namespace iscsi::config {

// The state directory: $ISCSI_STATE_DIR, or /etc/iscsi.
std::string state_directory();

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

// What names a node record.
struct NodeId {
    std::string target, address, iface;
    int port = 3260;
    int tpgt = -1;
    bool operator==(const NodeId&) const = default;
};
NodeId id_of(const Record& node);

// How records and sessions are selected; empty and 0 match everything. The portal group tag never selects (as in
// open-iscsi: a list shows an unknown one as 4294967295).
struct NodeFilter {
    std::string target, address, iface;
    int port = 0;
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
    // `root` is the state directory. The lock is open-iscsi's for its own root, and a folder inside any other.
    explicit Database(std::string root);

    const std::string& root() const { return root_; }

    // Held while files change; every write takes it, and takes it only once if the caller holds it already. Waits up to 30 s
    // as open-iscsi does (3000 tries, 10 ms).
    class Lock {
    public:
        explicit Lock(Database& owner) : owner_(&owner) { owner.lock_depth_++; }
        Lock(Lock&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
        Lock& operator=(Lock&&) = delete;
        ~Lock();
    private:
        Database* owner_;
    };
    Result<Lock> lock();

    // Node records that match. Damaged lines are logged as warnings; a file with no node.name is named and left out.
    // `sorted`: by target, portal, iface; `as_listed`: in the order of the folders, as open-iscsi logs in.
    enum class Order { sorted, as_listed };
    std::vector<Record> nodes(const NodeFilter& filter = {}, Order order = Order::sorted);
    // The record of that name; else one whose portal group tag, or the asked one, is not known.
    std::optional<Record> node(const NodeId& id);
    // Writes the file and the link of where it was discovered. A file with damaged lines is refused, not rewritten, unless
    // `replace` (-o new, a fresh discovery).
    Result<void> write_node(const Record& node, bool replace = false);
    Result<void> delete_node(const Record& node);       // with links and empty parents

    // Ifaces: files, then the built-in "default" and "iser".
    std::vector<Record> ifaces();
    std::optional<Record> iface(std::string_view name);
    static bool special_iface(std::string_view name);   // default, iser: cannot be changed
    Result<void> write_iface(const Record& iface, bool replace = false);
    Result<void> delete_iface(std::string_view name);

    // Discovery records.
    std::vector<DiscoveryPortal> discoveries(Kind kind);
    std::optional<Record> discovery(Kind kind, std::string_view address, int port);
    Result<void> write_discovery(const Record& record, bool replace = false);
    // With its links and the node records they lead to.
    Result<void> delete_discovery(Kind kind, std::string_view address, int port);
    // Node records found by one discovery ("send_targets", "isns", "static", "fw"; address empty for the last two).
    std::vector<Record> found_by(std::string_view type, std::string_view address, int port);

private:
    friend class Lock;
    std::optional<Record> read_record(Kind kind, const std::string& path, Key name_key);
    Result<void> write_record(const Record& record, const std::string& path, bool replace);
    void list_target(const std::string& target, const NodeFilter& filter, Order order, std::vector<Record>& out);
    std::string node_folder(const NodeId& id) const;      // nodes/IQN/ADDR,PORT,TPGT; the flat file if the tpgt is unknown
    std::string link_path(const Record& node) const;      // "" if there is none

    std::string root_, lock_folder_;
    int lock_depth_ = 0;
};

// A copy of the iface's 55 keys into a node record.
void bind_iface(Record& node, const Record& iface);

}  // namespace iscsi::config
