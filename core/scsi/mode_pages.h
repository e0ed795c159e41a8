// The mode pages of a unit (SPC-4 7.5, SBC-3 6.5): bytes, which bits an initiator may change, and the parameter lists of
// MODE SENSE and MODE SELECT. The owner guards it.
#pragma once
#include <map>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/scsi/command.h"

namespace iscsi::scsi {

class ModePages {
public:
    struct Page {
        std::vector<uint8_t> data;          // after the page's header
        std::vector<uint8_t> changeable;    // same length
        std::vector<uint8_t> initial;       // what a reset restores
    };

    void add(uint8_t page, uint8_t subpage, std::vector<uint8_t> data, std::vector<uint8_t> changeable = {});
    // tgt's mode_page=page:subpage:size:byte:byte...; false if malformed. Nothing of the page is changeable afterwards.
    bool set(std::string_view text);
    void restore();

    bool write_cache() const { return bit(0x08, 0, 0, 0x04, true); }
    bool software_write_protect() const { return bit(0x0a, 0, 2, 0x08, false); }
    void set_descriptor_sense(bool on);

    // MODE SENSE: appends the pages asked for; false if there is no such page.
    enum class Control : uint8_t { current = 0, changeable = 1, defaults = 2, saved = 3 };
    bool sense(uint8_t page, uint8_t subpage, Control control, std::vector<uint8_t>& out) const;
    // MODE SELECT: takes the pages of a parameter list (header and block descriptors removed). Returns the
    // additional sense code of the refusal (0 if none); nothing is changed then. `changed` tells whether anything was.
    uint8_t select(Bytes pages, bool& changed);

private:
    bool bit(uint8_t page, uint8_t subpage, size_t at, uint8_t mask, bool absent) const;
    std::map<std::pair<uint8_t, uint8_t>, Page> pages_;
};

}  // namespace iscsi::scsi
