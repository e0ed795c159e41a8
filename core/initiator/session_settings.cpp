#include "core/initiator/session_settings.h"

#include <algorithm>

namespace iscsi::initiator {
namespace {

using config::Key;
using config::Record;

uint32_t clamp(int32_t value, int32_t low, int32_t high) { return uint32_t(std::clamp(value, low, high)); }

// "SHA3-256,SHA256,SHA1,MD5"
std::vector<auth::Hash> parse_algorithms(std::string_view list) {
    std::vector<auth::Hash> out;
    while (!list.empty()) {
        std::string_view word = list.substr(0, list.find(','));
        list.remove_prefix(std::min(word.size() + 1, list.size()));
        auth::Hash hash;
        if (auth::parse_hash(word, hash)) out.push_back(hash);
    }
    return out;
}

Error wrong(const char* what, const std::string& value) { return Error{0, std::string(what) + " '" + value + "'", ""}; }

Result<void> take_offers(const Record& node, SessionSettings& s) {
    nego::Limits& o = s.offers;
    if (!nego::parse_digests(node.text(Key::header_digest), o.header_digest))
        return wrong("bad node.conn[0].iscsi.HeaderDigest", node.text(Key::header_digest));
    if (!nego::parse_digests(node.text(Key::data_digest), o.data_digest))
        return wrong("bad node.conn[0].iscsi.DataDigest", node.text(Key::data_digest));
    constexpr int32_t longest = (1 << 24) - 1;      // §13.12-13.14
    o.max_recv_data_segment = clamp(node.number(Key::max_recv_dlength), 512, longest);
    o.max_burst = clamp(node.number(Key::max_burst_length), 512, longest);
    o.first_burst = std::min(clamp(node.number(Key::first_burst_length), 512, longest), o.max_burst);
    o.default_time2wait = clamp(node.number(Key::default_time2wait), 0, 3600);
    o.default_time2retain = clamp(node.number(Key::default_time2retain), 0, 3600);
    o.max_outstanding_r2t = clamp(node.number(Key::max_outstanding_r2t), 1, 65535);
    o.initial_r2t = node.yes(Key::initial_r2t);
    o.immediate_data = node.yes(Key::immediate_data);
    o.max_xmit_data_segment = node.number(Key::max_xmit_dlength) > 0 ? clamp(node.number(Key::max_xmit_dlength), 512, longest) : 0;
    return {};
}

}  // namespace

std::string SessionSettings::describe() const {
    return "[target: " + target_name + ", portal: " + address + "," + std::to_string(port) + "] through [iface: " +
           iface_name + "]";
}

Result<SessionSettings> session_settings(const Record& node, const std::string& initiator_name,
                                         const std::string& initiator_alias, const kernel::Sysfs& sysfs) {
    SessionSettings s;
    s.target_name = node.text(Key::node_name);
    if (!config::safe_name(s.target_name)) return wrong("bad target name", s.target_name);
    s.initiator_name = node.text(Key::iface_initiatorname).empty() ? initiator_name : node.text(Key::iface_initiatorname);
    s.initiator_alias = initiator_alias;
    s.address = node.text(Key::conn_address);
    if (s.address.empty()) return wrong("bad portal address", s.address);
    int32_t port = node.number(Key::conn_port);
    if (port < 1 || port > 65535) return wrong("bad portal port", std::to_string(port));
    s.port = uint16_t(port);
    s.tpgt = node.number(Key::node_tpgt);

    const std::string& transport = node.text(Key::iface_transport_name);
    if (!transport.empty() && transport != "tcp") return wrong("unsupported transport", transport);
    if (!node.text(Key::iface_name).empty()) s.iface_name = node.text(Key::iface_name);
    auto set = [](const std::string& v) { return !v.empty() && v != "default"; };
    if (set(node.text(Key::iface_net_ifacename))) s.bind_interface = node.text(Key::iface_net_ifacename);
    else if (set(node.text(Key::iface_hwaddress))) {
        s.bind_interface = sysfs.netdev_by_address(node.text(Key::iface_hwaddress));
        if (s.bind_interface.empty()) return wrong("no network interface has the hardware address", node.text(Key::iface_hwaddress));
    }
    if (set(node.text(Key::iface_ipaddress)) && s.bind_interface.empty()) s.bind_address = node.text(Key::iface_ipaddress);

    TRY_VOID(take_offers(node, s));
    if (node.text(Key::authmethod) == "CHAP" || !node.text(Key::username).empty()) {
        s.chap.account.user = node.text(Key::username);
        s.chap.account.secret = Secret(node.text(Key::password));
        s.chap.target_account.user = node.text(Key::username_in);
        s.chap.target_account.secret = Secret(node.text(Key::password_in));
        auto algorithms = parse_algorithms(node.text(Key::chap_algs));
        if (!algorithms.empty()) s.chap.algorithms = algorithms;
        if (s.chap.account.secret.empty()) s.chap.account.user.clear();
    }

    s.initial_cmd_sn = uint32_t(node.number(Key::initial_cmdsn));
    s.cmds_max = uint16_t(clamp(node.number(Key::cmds_max), 16, 4096));
    s.queue_depth = uint16_t(clamp(node.number(Key::queue_depth), 1, 1024));
    s.login_retry_max = clamp(node.number(Key::initial_login_retry_max), 0, 1 << 20);
    s.reopen_max = clamp(node.number(Key::reopen_max), 0, 1 << 20);
    s.login_timeout = clamp(node.number(Key::login_timeout), 1, 3600);
    s.logout_timeout = clamp(node.number(Key::logout_timeout), 1, 3600);
    s.replacement_timeout = node.number(Key::replacement_timeout);
    s.abort_timeout = clamp(node.number(Key::abort_timeout), 0, 3600);
    s.lu_reset_timeout = clamp(node.number(Key::lu_reset_timeout), 0, 3600);
    s.tgt_reset_timeout = clamp(node.number(Key::tgt_reset_timeout), 0, 3600);
    s.ping_interval = clamp(node.number(Key::noop_out_interval), 0, 3600);
    s.ping_timeout = clamp(node.number(Key::noop_out_timeout), 0, 3600);
    s.fast_abort = node.yes(Key::fast_abort);
    s.scan = node.text(Key::scan) != "manual";
    s.window_size = clamp(node.number(Key::tcp_window_size), 0, 1 << 30);
    s.type_of_service = clamp(node.number(Key::tcp_type_of_service), 0, 255);
    s.xmit_priority = std::clamp(node.number(Key::xmit_thread_priority), -20, 19);
    return s;
}

Result<SessionSettings> settings_from_kernel(const kernel::SessionInfo& session, const kernel::Sysfs& sysfs, const Record& base,
                                             const std::string& initiator_alias) {
    Record node = base;
    auto take = [&](Key key, const std::string& value) {
        if (!value.empty()) (void)node.set(key, value);     // what the kernel says and a record cannot hold is left out
    };
    auto attribute = [&](const char* name) { return sysfs.session_attribute(session.sid, name); };
    auto connection = [&](const char* name) { return sysfs.connection_attribute(session.sid, name); };
    take(Key::node_name, session.target_name);
    take(Key::node_tpgt, session.tpgt);
    take(Key::conn_address, session.persistent_address.empty() ? session.address : session.persistent_address);
    take(Key::conn_port, session.persistent_port.empty() ? session.port : session.persistent_port);
    take(Key::iface_name, session.iface_name);
    take(Key::username, attribute("username"));
    take(Key::password, attribute("password"));
    take(Key::username_in, attribute("username_in"));
    take(Key::password_in, attribute("password_in"));
    take(Key::replacement_timeout, attribute("recovery_tmo"));
    take(Key::abort_timeout, attribute("abort_tmo"));
    take(Key::lu_reset_timeout, attribute("lu_reset_tmo"));
    take(Key::tgt_reset_timeout, attribute("tgt_reset_tmo"));
    take(Key::noop_out_interval, connection("recv_tmo"));
    take(Key::noop_out_timeout, connection("ping_tmo"));
    take(Key::max_recv_dlength, connection("max_recv_dlength"));
    if (attribute("fast_abort") == "0") node.set(Key::fast_abort, "No");
    // A digest that was agreed on stays; one that was not stays possible.
    take(Key::header_digest, connection("header_digest") == "1" ? "CRC32C,None" : "None,CRC32C");
    take(Key::data_digest, connection("data_digest") == "1" ? "CRC32C,None" : "None,CRC32C");
    return session_settings(node, session.initiator_name, initiator_alias, sysfs);
}

}  // namespace iscsi::initiator
