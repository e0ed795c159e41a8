// Records, iscsid.conf and portals as they lie in files: read, written, read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/config/iscsid_conf.h"
#include "core/config/node_records.h"

using namespace iscsi::config;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 1) return 0;
    std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (*data & 4) {
        auto conf = parse_iscsid_conf(text, "fuzz");
        (void)conf.new_record(Kind::node).to_file();
        if (auto portal = parse_portal(text)) (void)portal_text(portal->address, portal->port);
        return 0;
    }
    Record record(Kind(*data & 3));
    std::vector<Complaint> complaints;
    record.read(text, "fuzz", complaints);
    for (const auto& c : complaints) (void)c.message();
    (void)record.to_screen(false);
    (void)record.to_json(true);
    // what is written is read back the same, without a complaint
    Record again(record.kind());
    std::vector<Complaint> none;
    again.read(record.to_file(), "fuzz", none);
    if (!none.empty() || !(again == record)) std::abort();
    return 0;
}
