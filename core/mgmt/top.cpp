#include "core/mgmt/top.h"

#include <algorithm>

namespace iscsi::mgmt {
namespace {

struct Field { std::string_view name; uint64_t TopCounters::* value; };
constexpr Field fields[] = {
    {"tid", &TopCounters::tid}, {"lun", &TopCounters::lun}, {"sid", &TopCounters::sid}, {"read_done_bytes", &TopCounters::read_bytes},
    {"read_done", &TopCounters::reads}, {"write_done_bytes", &TopCounters::written_bytes}, {"write_done", &TopCounters::writes},
    {"errors", &TopCounters::errors}, {"busy_us", &TopCounters::busy_us}, {"in_flight", &TopCounters::in_flight}};

// A string from its opening quote on; `text` is left behind its closing one. Names of initiators need no \u.
std::string quoted(std::string_view& text) {
    std::string out;
    text.remove_prefix(1);
    while (!text.empty() && text[0] != '"') {
        if (text[0] == '\\' && text.size() > 1) text.remove_prefix(1);
        out += text[0];
        text.remove_prefix(1);
    }
    if (!text.empty()) text.remove_prefix(1);
    return out;
}

}  // namespace

std::vector<TopCounters> parse_top(std::string_view text) {
    std::vector<TopCounters> rows;
    std::string key;
    while (!text.empty()) {
        const char c = text[0];
        if (c == '"') {
            std::string word = quoted(text);
            if (key.empty()) {
                key = std::move(word);
            } else {
                if (!rows.empty() && key == "initiator") rows.back().initiator = std::move(word);
                key.clear();
            }
            continue;
        }
        if (c >= '0' && c <= '9') {
            uint64_t n = 0;
            for (; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1)) n = n * 10 + uint64_t(text[0] - '0');
            for (const Field& f : fields)
                if (!rows.empty() && key == f.name) rows.back().*f.value = n;
            key.clear();
            continue;
        }
        if (c == '{') rows.emplace_back();
        if (c == '{' || c == '}' || c == ',') key.clear();
        text.remove_prefix(1);
    }
    return rows;
}

std::vector<TopRow> top_rows(const std::vector<TopCounters>& before, const std::vector<TopCounters>& after, double seconds, bool idle) {
    std::vector<TopRow> rows;
    if (!(seconds > 0)) return rows;
    const TopCounters fresh;
    for (const TopCounters& now : after) {
        auto match = std::find_if(before.begin(), before.end(), [&](const TopCounters& b) {
            return b.tid == now.tid && b.lun == now.lun && b.sid == now.sid && b.initiator == now.initiator;
        });
        const TopCounters* then = match == before.end() ? &fresh : &*match;
        if (now.reads < then->reads || now.writes < then->writes || now.busy_us < then->busy_us || now.read_bytes < then->read_bytes ||
            now.written_bytes < then->written_bytes || now.errors < then->errors)
            then = &fresh;
        const uint64_t commands = now.reads - then->reads + now.writes - then->writes, busy = now.busy_us - then->busy_us;
        if (!idle && commands == 0 && now.in_flight == 0 && now.errors == then->errors) continue;
        TopRow row{now.tid, now.lun, now.sid, now.initiator};
        row.reads = double(now.reads - then->reads) / seconds;
        row.writes = double(now.writes - then->writes) / seconds;
        row.read_bytes = double(now.read_bytes - then->read_bytes) / seconds;
        row.written_bytes = double(now.written_bytes - then->written_bytes) / seconds;
        row.latency_us = commands ? double(busy) / double(commands) : 0;
        row.depth = double(busy) / (seconds * 1e6);
        if (commands == 0) row.depth = double(now.in_flight);       // nothing ended: what is under way tells more
        row.errors = now.errors - then->errors;
        rows.push_back(std::move(row));
    }
    std::stable_sort(rows.begin(), rows.end(), [](const TopRow& a, const TopRow& b) {
        return a.read_bytes + a.written_bytes + 4096 * (a.reads + a.writes) > b.read_bytes + b.written_bytes + 4096 * (b.reads + b.writes);
    });
    return rows;
}

}  // namespace iscsi::mgmt
