#include "core/scsi/router.h"

#include <algorithm>

#include "core/scsi/table.h"

namespace iscsi::scsi {
namespace {

constexpr uint8_t report_luns_changed_asc = 0x3f, report_luns_changed_ascq = 0x0e;

// SPC-4 6.33. SELECT REPORT 00h and 02h list all, 01h only well known units, of which there are none. tgt
// refuses an allocation length below 16, as SPC-3 asked.
void report_luns(const LunTable& table, Command& c) {
    const uint32_t room = get32(c.cdb + 6);
    const uint8_t select = c.cdb[2];
    if (room < 16 || select > 2) return fail(c, SenseKey::illegal_request, 0x24);
    c.flow = Flow::data_in;
    c.length = room;
    c.parameters.assign(8, 0);
    if (select != 1)
        for (auto& [number, unit] : table) {
            c.parameters.resize(c.parameters.size() + 8);
            put64(&c.parameters[c.parameters.size() - 8], Router::encode_lun(number));
            if (c.nexus) unit->drop_unit_attention(*c.nexus, report_luns_changed_asc, report_luns_changed_ascq);
        }
    put32(c.parameters.data(), uint32_t(c.parameters.size() - 8));
    c.parameters.resize(std::min<size_t>(c.parameters.size(), room));
}

// Answers for units that are not there: a data-in command completes in execute, and somebody must own that.
class NoUnit final : public LogicalUnit {
public:
    bool begin(Command& c) override {
        switch (c.cdb[0]) {
        case 0x12:
            // Qualifier 011b, type 1Fh; for the rest the controller's data, as tgt has it.
            c.flow = Flow::data_in;
            c.length = get16(c.cdb + 3);
            if ((c.cdb[1] & 3) || c.cdb[2]) {
                c.flow = Flow::none;
                break;
            }
            c.parameters = standard_inquiry(0x7f, false, "IET", "Controller", "0001", controller_versions);
            c.parameters.resize(std::min<size_t>(c.parameters.size(), c.length));
            return false;
        case 0x03:
            c.flow = Flow::data_in;
            c.length = c.cdb[4];
            c.parameters = encode_sense({SenseKey::illegal_request, 0x25, 0, {}, {}}, c.cdb[1] & 1);
            c.parameters.resize(std::min<size_t>(c.parameters.size(), c.length));
            return false;
        default:
            fail(c, SenseKey::illegal_request, 0x25);
            return true;
        }
        fail(c, SenseKey::illegal_request, 0x24);
        return true;
    }
    bool execute(Command&) override { return true; }
    bool finish(Command&) override { return true; }
    bool transfer(Chunk& chunk) override { chunk.failed = true; return true; }
    void nexus_arrived(Nexus&) override {}
    void nexus_lost(Nexus&) override {}
    void logical_unit_reset(Nexus*) override {}
    void raise_unit_attention(uint8_t, uint8_t, const Nexus*) override {}
    void drop_unit_attention(const Nexus&, uint8_t, uint8_t) override {}
};

}  // namespace

std::shared_ptr<const LunTable> Router::table() const {
    std::lock_guard lock(mutex_);
    return table_;
}

bool Router::add(uint64_t lun, std::shared_ptr<LogicalUnit> unit) {
    std::lock_guard lock(mutex_);
    if (table_->count(lun)) return false;
    auto next = std::make_shared<LunTable>(*table_);
    (*next)[lun] = std::move(unit);
    for (auto& entry : *next)
        entry.second->raise_unit_attention(report_luns_changed_asc, report_luns_changed_ascq, nullptr);
    table_ = std::move(next);
    generation_.fetch_add(1, std::memory_order_release);
    return true;
}

bool Router::remove(uint64_t lun) {
    std::lock_guard lock(mutex_);
    if (!table_->count(lun)) return false;
    auto next = std::make_shared<LunTable>(*table_);
    next->erase(lun);
    for (auto& entry : *next)
        entry.second->raise_unit_attention(report_luns_changed_asc, report_luns_changed_ascq, nullptr);
    table_ = std::move(next);
    generation_.fetch_add(1, std::memory_order_release);
    return true;
}

// SAM-5 4.7.7: the first two bytes say it all in the single level forms, the others are zero.
std::optional<uint64_t> Router::decode_lun(uint64_t wire) {
    if (wire & 0x0000ffffffffffff) return std::nullopt;
    const unsigned method = unsigned(wire >> 62), first = unsigned(wire >> 48) & 0x3fff;
    if (method == 0) return first < 256 ? std::optional<uint64_t>(first) : std::nullopt;     // peripheral, bus 0
    if (method == 1) return first;                                                           // flat
    return std::nullopt;
}

uint64_t Router::encode_lun(uint64_t number) {
    return number < 256 ? number << 48 : (number & 0x3fff) << 48 | uint64_t(1) << 62;
}

bool begin(const LunTable& table, Command& c) {
    const auto number = Router::decode_lun(c.lun);
    const auto found = number ? table.find(*number) : table.end();
    if (found == table.end()) {
        c.lu = std::make_shared<NoUnit>();
        return c.lu->begin(c);
    }
    c.lu = found->second;
    if (c.lu->begin(c)) return true;
    if (c.cdb[0] == 0xa0) {
        report_luns(table, c);
        return c.status != Status::good;
    }
    return false;
}

}  // namespace iscsi::scsi
