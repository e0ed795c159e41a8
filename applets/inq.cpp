// iscsi inq: who a logical unit says it is.
#include <cstdio>
#include <cstdlib>

#include "applets/applet.h"
#include "applets/initiator_tool.h"
#include "core/base/json.h"
#include "core/base/sizes.h"
#include "core/config/records.h"
#include "core/initiator/remote_lun.h"

namespace iscsi::applets {
namespace {

using namespace initiator;

constexpr cli::Option options[] = {
    {0, "vpd", cli::Arg::optional, "PAGE", "vital product data: that page (hex), or all of them"},
    {'e', "evpd", cli::Arg::required, "0|1", "as iscsi-inq: 1 asks for the page of --pagecode"},
    {'c', "pagecode", cli::Arg::required, "PAGE", "as iscsi-inq: page code, decimal or 0x hex"},
    {'r', "raw", cli::Arg::none, nullptr, "print the bytes, too"},
    {0, "json", cli::Arg::none, nullptr, "print JSON"},
    {'T', "timeout", cli::Arg::required, "SECONDS", "the whole may take so long (120); 0: for ever"},
    ISCSI_INITIATOR_OPTIONS,
};
constexpr cli::Interface interface = {
    "iscsi inq", "show what a logical unit says of itself", "iscsi inq [option]... iscsi://HOST[:PORT]/TARGET/LUN", options, url_help,
    "iscsi inq --vpd iscsi://192.0.2.10/iqn.2001-04.com.example:disk1/1\n", 1};

void print_hex(Bytes data) {
    for (size_t i = 0; i < data.size(); i += 16) {
        std::printf("  %04zx:", i);
        for (size_t j = i; j < i + 16 && j < data.size(); j++) std::printf(" %02x", data[j]);
        std::printf("\n");
    }
}

std::string text_of(Bytes data) {
    std::string s;
    for (uint8_t c : data) s += c >= 0x20 && c < 0x7f ? char(c) : '.';
    while (!s.empty() && (s.back() == ' ' || s.back() == '.')) s.pop_back();
    size_t begin = s.find_first_not_of(' ');
    return begin == s.npos ? "" : s.substr(begin);
}

std::string hex_of(Bytes data) {
    std::string s;
    char two[3];
    for (uint8_t c : data) {
        std::snprintf(two, sizeof two, "%02x", c);
        s += two;
    }
    return s;
}

void print_designators(Bytes page) {
    static const char* const types[] = {"vendor", "T10", "EUI-64", "NAA", "relative port", "target port group", "LU group", "MD5", "SCSI name"};
    for (size_t at = 4; at + 4 <= page.size();) {
        const size_t length = page[at + 3];
        if (length > page.size() - at - 4) break;
        Bytes id = page.subspan(at + 4, length);
        const uint8_t type = page[at + 1] & 0x0f, code = page[at] & 0x0f;
        const char* of = (page[at + 1] >> 4 & 3) == 0 ? "LU" : (page[at + 1] >> 4 & 3) == 1 ? "port" : "device";
        std::printf("  %s %s: %s\n", of, type < std::size(types) ? types[type] : "designator",
                    code >= 2 ? text_of(id).c_str() : ("0x" + hex_of(id)).c_str());
        at += 4 + length;
    }
}

void print_limits(Bytes p) {
    if (p.size() >= 16)
        std::printf("  Transfer length granularity: %u blocks\n  Maximum transfer: %u blocks\n  Optimal transfer: %u blocks\n",
                    get16(&p[6]), get32(&p[8]), get32(&p[12]));
    if (p.size() >= 28) std::printf("  Maximum unmap: %u blocks in %u descriptors\n", get32(&p[20]), get32(&p[24]));
    if (p.size() >= 44) std::printf("  Maximum write same: %llu blocks\n", static_cast<unsigned long long>(get64(&p[36])));
}

void print_page(uint8_t code, Bytes p) {
    switch (code) {
    case 0x00:
        std::printf("Supported VPD pages:");
        for (size_t i = 4; i < p.size(); i++) std::printf(" 0x%02x", p[i]);
        std::printf("\n");
        return;
    case 0x80: std::printf("Unit serial number: %s\n", p.size() > 4 ? text_of(p.subspan(4)).c_str() : ""); return;
    case 0x83: std::printf("Device identification\n"); return print_designators(p);
    case 0xb0: std::printf("Block limits\n"); return print_limits(p);
    case 0xb1:
        std::printf("Block device characteristics\n");
        if (p.size() >= 6) {
            const unsigned rate = get16(&p[4]);
            if (rate == 1) std::printf("  Non-rotating medium\n");
            else if (rate > 1) std::printf("  Rotation rate: %u rpm\n", rate);
        }
        return;
    case 0xb2:
        std::printf("Logical block provisioning\n");
        if (p.size() >= 8)
            std::printf("  UNMAP: %s\n  WRITE SAME(16) with UNMAP: %s\n  Provisioning: %s\n", p[5] & 0x80 ? "yes" : "no",
                        p[5] & 0x40 ? "yes" : "no", (p[6] & 7) == 2 ? "thin" : (p[6] & 7) == 1 ? "resource" : "full");
        return;
    default: std::printf("VPD page 0x%02x, %zu bytes\n", code, p.size()); print_hex(p);
    }
}

int show_pages(Client& client, uint64_t lun, const std::string& which, bool raw) {
    std::vector<uint8_t> codes;
    if (!which.empty()) {
        char* end;
        unsigned long code = std::strtoul(which.c_str(), &end, 16);
        if (*end || code > 0xff) return usage_error(interface, "--vpd: no page number (00 to ff): " + which);
        codes.push_back(uint8_t(code));
    } else {
        auto all = raw_inquiry(client, lun, true, 0);
        if (!all) return tool_error(interface, all.error().text());
        codes.assign(all->begin() + std::min<ptrdiff_t>(4, ptrdiff_t(all->size())), all->end());
    }
    for (uint8_t code : codes) {
        auto page = raw_inquiry(client, lun, true, code);
        if (!page) return tool_error(interface, page.error().text());
        print_page(code, *page);
        if (raw) print_hex(*page);
    }
    return 0;
}

int show_standard(Client& client, const Url& url, bool raw, bool json) {
    const uint64_t lun = lun_field(*url.lun);
    auto data = raw_inquiry(client, lun, false, 0);
    auto i = inquiry(client, lun);
    if (!i || !data) return tool_error(interface, url.text() + ": " + (i ? data.error() : i.error()).text());
    if (i->qualifier() == 3) return tool_error(interface, url.text() + ": no such logical unit; `iscsi ls -s` lists those that are there");
    auto disk = i->device_type() == 0 && i->qualifier() == 0 ? disk_info(client, lun) : Result<DiskInfo>(Error{});
    if (json) {
        std::printf("{\"type\":%s,\"qualifier\":%u,\"removable\":%s,\"version\":%u,\"vendor\":%s,\"product\":%s,\"revision\":%s",
                    json_string(device_type_name(i->device_type())).c_str(), i->qualifier(), i->removable ? "true" : "false", i->version,
                    json_string(i->vendor).c_str(), json_string(i->product).c_str(), json_string(i->revision).c_str());
        if (disk)
            std::printf(",\"blocks\":%llu,\"block_size\":%u,\"physical_block\":%u,\"read_only\":%s,\"thin\":%s",
                        static_cast<unsigned long long>(disk->blocks), disk->block_size, disk->physical_block,
                        disk->read_only ? "true" : "false", disk->thin ? "true" : "false");
        std::printf("}\n");
        return 0;
    }
    std::printf("Peripheral Qualifier: %s\n", i->qualifier() == 0 ? "CONNECTED" : i->qualifier() == 1 ? "DISCONNECTED" : "NOT_SUPPORTED");
    std::printf("Peripheral Device Type: %s\nRemovable: %d\nVersion: %u\n", device_type_name(i->device_type()), i->removable, i->version);
    std::printf("Vendor: %s\nProduct: %s\nRevision: %s\n", i->vendor.c_str(), i->product.c_str(), i->revision.c_str());
    if (disk)
        std::printf("Size: %llu bytes (%s), %llu blocks of %u, physical %u%s%s\n", static_cast<unsigned long long>(disk->bytes()),
                    brief_size(disk->bytes()).c_str(), static_cast<unsigned long long>(disk->blocks), disk->block_size, disk->physical_block,
                    disk->read_only ? ", read-only" : "", disk->thin ? ", thin" : "");
    if (raw) print_hex(*data);
    return 0;
}

}  // namespace

int inq_main(int argc, char** argv) {
    ToolLine line = tool_line(interface, argc, argv, 1, 1);
    if (line.exit_code >= 0) return line.exit_code;
    auto url = disk_url(line.parsed.words[0]);
    if (!url) return usage_error(interface, url.error().text());
    SessionConfig settings = session_for(line, *url);
    settings.replacement_timeout_ms = 0;
    auto client = Client::connect(settings, nullptr, line.timeout_ms);
    if (!client) return tool_error(interface, url->text() + ": " + client.error().text());
    const uint64_t lun = lun_field(*url->lun);
    const bool raw = line.parsed.has("raw");
    if (line.parsed.get("evpd").value_or("0") != "0") {
        char page[8];
        std::snprintf(page, sizeof page, "%02lx", std::strtoul(line.parsed.get("pagecode").value_or("0").c_str(), nullptr, 0) & 0xff);
        return show_pages(**client, lun, page, raw);
    }
    if (auto page = line.parsed.get("vpd")) return show_pages(**client, lun, *page, raw);
    return show_standard(**client, *url, raw, line.parsed.has("json"));
}

}  // namespace iscsi::applets
