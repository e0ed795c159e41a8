#include "core/scsi/mode_pages.h"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace iscsi::scsi {

void ModePages::add(uint8_t page, uint8_t subpage, std::vector<uint8_t> data, std::vector<uint8_t> changeable) {
    changeable.resize(data.size());
    pages_[{page, subpage}] = Page{data, std::move(changeable), data};
}

bool ModePages::set(std::string_view text) {
    std::vector<unsigned long> numbers;
    std::string copy(text);
    for (const char* at = copy.c_str();;) {
        char* end = nullptr;
        errno = 0;
        unsigned long n = std::strtoul(at, &end, 0);
        if (end == at || errno || numbers.size() > 300) return false;
        numbers.push_back(n);
        if (!*end) break;
        if (*end != ':') return false;
        at = end + 1;
    }
    if (numbers.size() < 3 || numbers[0] > 0x3e || numbers[1] > 0xfe || numbers[2] > 255) return false;
    if (numbers.size() - 3 > numbers[2]) return false;
    std::vector<uint8_t> data(numbers[2]);
    for (size_t i = 3; i < numbers.size(); i++) {
        if (numbers[i] > 0xff) return false;
        data[i - 3] = uint8_t(numbers[i]);
    }
    add(uint8_t(numbers[0]), uint8_t(numbers[1]), std::move(data));
    return true;
}

void ModePages::restore() {
    for (auto& p : pages_) p.second.data = p.second.initial;
}

bool ModePages::bit(uint8_t page, uint8_t subpage, size_t at, uint8_t mask, bool absent) const {
    auto p = pages_.find({page, subpage});
    if (p == pages_.end() || p->second.data.size() <= at) return absent;
    return (p->second.data[at] & mask) != 0;
}

void ModePages::set_descriptor_sense(bool on) {
    auto p = pages_.find({0x0a, 0});
    if (p == pages_.end() || p->second.data.empty()) return;
    for (auto* bytes : {&p->second.data, &p->second.initial}) (*bytes)[0] = uint8_t(((*bytes)[0] & ~4) | (on ? 4 : 0));
}

bool ModePages::sense(uint8_t page, uint8_t subpage, Control control, std::vector<uint8_t>& out) const {
    bool any = false;
    for (auto& [code, p] : pages_) {
        // All pages (3Fh) come with their subpages, whatever was asked: tgt's way.
        if (page != 0x3f && (code.first != page || (subpage != 0xff && code.second != subpage))) continue;
        any = true;
        const std::vector<uint8_t>& bytes = control == Control::changeable ? p.changeable
                                            : control == Control::defaults ? p.initial : p.data;
        if (code.second) {
            out.insert(out.end(), {uint8_t(code.first | 0x40), code.second, uint8_t(bytes.size() >> 8), uint8_t(bytes.size())});
        } else {
            out.insert(out.end(), {code.first, uint8_t(bytes.size())});
        }
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
    return any;
}

uint8_t ModePages::select(Bytes list, bool& changed) {
    constexpr uint8_t list_length_error = 0x1a, invalid_field = 0x26;
    auto next = pages_;
    while (!list.empty()) {
        const bool sub = list[0] & 0x40;
        const size_t header = sub ? 4 : 2;
        if (list.size() < header) return list_length_error;
        const size_t length = sub ? get16(&list[2]) : list[1];
        auto p = next.find({uint8_t(list[0] & 0x3f), sub ? list[1] : uint8_t(0)});
        if (p == next.end() || p->second.data.size() != length) return invalid_field;
        if (list.size() - header < length) return list_length_error;
        for (size_t i = 0; i < length; i++) {
            uint8_t& old = p->second.data[i];
            const uint8_t now = list[header + i];
            if ((old ^ now) & ~p->second.changeable[i]) return invalid_field;
            old = now;
        }
        list = list.subspan(header + length);
    }
    changed = false;
    for (auto& [code, p] : next) changed |= p.data != pages_[code].data;
    pages_ = std::move(next);
    return 0;
}

}  // namespace iscsi::scsi
