#include "core/config/firmware.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "core/base/file.h"
#include "core/config/node_records.h"

namespace iscsi::config {
namespace {

constexpr int max_entries = 64;

int to_number(const std::string& text, int otherwise) {
    int n = otherwise;
    std::from_chars(text.data(), text.data() + text.size(), n);
    return n;
}

// An attribute as one printable line; the firmware's strings are nobody's friend.
std::string attribute(const std::string& path) {
    std::string text = read_attribute(path);
    text.resize(std::min<size_t>(text.size(), 255));
    while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.pop_back();
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return text;
}

bool boot_flag(const std::string& folder) { return to_number(attribute(folder + "/flags"), 0) & 2; }

// Which interface of the system a hardware address belongs to.
std::string netdev_of(const std::string& sysfs, std::string mac) {
    if (mac.empty()) return {};
    std::transform(mac.begin(), mac.end(), mac.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    for (const std::string& name : list_folder(sysfs + "/class/net"))
        if (read_attribute(sysfs + "/class/net/" + name + "/address") == mac) return name;
    return {};
}

FirmwareNic read_nic(const std::string& sysfs, const std::string& folder, int index) {
    FirmwareNic nic;
    nic.index = to_number(attribute(folder + "/index"), index);
    nic.boot = boot_flag(folder);
    nic.ip_address = attribute(folder + "/ip-addr");
    nic.subnet_mask = attribute(folder + "/subnet-mask");
    nic.prefix_len = to_number(attribute(folder + "/prefix-len"), -1);
    nic.gateway = attribute(folder + "/gateway");
    nic.primary_dns = attribute(folder + "/primary-dns");
    nic.secondary_dns = attribute(folder + "/secondary-dns");
    nic.dhcp = attribute(folder + "/dhcp");
    nic.mac = attribute(folder + "/mac");
    nic.hostname = attribute(folder + "/hostname");
    nic.vlan = to_number(attribute(folder + "/vlan"), 0);
    nic.origin = to_number(attribute(folder + "/origin"), 0);
    nic.net_ifacename = netdev_of(sysfs, nic.mac);
    return nic;
}

FirmwareTarget read_target(const std::string& folder, int index) {
    FirmwareTarget target;
    target.index = to_number(attribute(folder + "/index"), index);
    target.boot = boot_flag(folder);
    target.name = attribute(folder + "/target-name");
    target.address = attribute(folder + "/ip-addr");
    target.port = to_number(attribute(folder + "/port"), 3260);
    target.lun = attribute(folder + "/lun");
    target.chap_name = attribute(folder + "/chap-name");
    target.chap_password = attribute(folder + "/chap-secret");
    target.rev_chap_name = attribute(folder + "/rev-chap-name");
    target.rev_chap_password = attribute(folder + "/rev-chap-name-secret");
    target.nic = to_number(attribute(folder + "/nic-assoc"), 0);
    return target;
}

void line(std::string& out, const char* key, const std::string& value) {
    if (!value.empty()) ((out += key) += " = ") += value + "\n";
}

}  // namespace

const FirmwareNic* Firmware::nic_of(const FirmwareTarget& target) const {
    for (const FirmwareNic& nic : nics)
        if (nic.index == target.nic) return &nic;
    return nullptr;
}

Result<Firmware> read_firmware(const std::string& sysfs) {
    std::string ibft = sysfs + "/firmware/ibft";
    if (!is_folder(ibft)) return Error{ENOENT, "no iSCSI boot firmware table in", ibft};
    Firmware firmware;
    firmware.initiator_name = attribute(ibft + "/initiator/initiator-name");
    for (int i = 0; i < max_entries; i++) {
        std::string number = std::to_string(i);
        if (std::string folder = ibft + "/ethernet" + number; is_folder(folder)) firmware.nics.push_back(read_nic(sysfs, folder, i));
        if (std::string folder = ibft + "/target" + number; is_folder(folder)) {
            FirmwareTarget target = read_target(folder, i);
            // an entry that the firmware left blank or filled with what cannot be one
            if (safe_name(target.name) && !target.address.empty() && target.port > 0 && target.port < 65536)
                firmware.targets.push_back(std::move(target));
        }
    }
    // open-iscsi shows the last entry first
    std::reverse(firmware.targets.begin(), firmware.targets.end());
    return firmware;
}

Record firmware_node(const Firmware& firmware, const FirmwareTarget& target, const Record& base) {
    Record node = base;
    (void)node.set(Key::node_name, target.name);
    (void)node.set(Key::node_tpgt, int64_t(1));
    (void)node.set(Key::node_startup, "onboot");
    (void)node.set(Key::conn_startup, "onboot");
    (void)node.set(Key::discovery_type, "fw");
    (void)node.set(Key::conn_address, target.address);
    (void)node.set(Key::conn_port, int64_t(target.port));
    if (node.text(Key::iface_name).empty()) (void)node.set(Key::iface_name, "default");
    if (valid_iscsi_name(firmware.initiator_name)) (void)node.set(Key::iface_initiatorname, firmware.initiator_name);
    if (!target.chap_name.empty()) {
        (void)node.set(Key::authmethod, "CHAP");
        (void)node.set(Key::username, target.chap_name);
        (void)node.set(Key::password, target.chap_password);
        (void)node.set(Key::username_in, target.rev_chap_name);
        (void)node.set(Key::password_in, target.rev_chap_password);
    }
    return node;
}

std::string firmware_text(const Firmware& firmware, bool show_secrets) {
    auto secret = [&](const std::string& s) { return s.empty() || show_secrets ? s : std::string("********"); };
    std::string out;
    for (const FirmwareTarget& target : firmware.targets) {
        out += "# BEGIN RECORD " + std::string(record_version) + "\n";
        line(out, "iface.initiatorname", firmware.initiator_name);
        line(out, "iface.transport_name", "tcp");
        if (const FirmwareNic* nic = firmware.nic_of(target)) {
            line(out, "iface.hwaddress", nic->mac);
            // 3 is "DHCP" of the origins that the iBFT knows; some firmware only names the server
            bool dhcp = nic->origin == 3 || (!nic->dhcp.empty() && nic->dhcp != "0.0.0.0");
            line(out, "iface.bootproto", dhcp ? "DHCP" : "STATIC");
            line(out, "iface.ipaddress", nic->ip_address);
            line(out, "iface.prefix_len", std::to_string(nic->prefix_len));
            line(out, "iface.subnet_mask", nic->subnet_mask);
            line(out, "iface.gateway", nic->gateway);
            line(out, "iface.primary_dns", nic->primary_dns);
            line(out, "iface.secondary_dns", nic->secondary_dns);
            line(out, "iface.vlan_id", std::to_string(nic->vlan));
            line(out, "iface.net_ifacename", nic->net_ifacename);
        }
        line(out, "node.name", target.name);
        line(out, "node.conn[0].address", target.address);
        line(out, "node.conn[0].port", std::to_string(target.port));
        line(out, "node.session.auth.username", target.chap_name);
        line(out, "node.session.auth.password", secret(target.chap_password));
        line(out, "node.session.auth.username_in", target.rev_chap_name);
        line(out, "node.session.auth.password_in", secret(target.rev_chap_password));
        line(out, "node.boot_lun", target.lun);
        out += "# END RECORD\n";
    }
    return out;
}

}  // namespace iscsi::config
