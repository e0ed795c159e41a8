// Runs commands on logical units as a transport would, without one: an engine that carries requests out when told to,
// and a command from CDB to status in one call.
#pragma once
#include <cerrno>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/io/engine.h"
#include "core/scsi/disk.h"
#include "core/scsi/router.h"

namespace iscsi::scsi {

// Completes nothing inside submit(), as a real engine.
class InlineEngine final : public io::Engine {
public:
    void submit(const std::shared_ptr<store::Store>& store, store::Request& request) override {
        request.error = 0;
        request.progress = 0;
        queue_.push_back({store, &request});
        submitted++;
    }
    size_t in_flight() const override { return queue_.size(); }
    void run() {
        while (!queue_.empty()) {
            auto [store, request] = queue_.front();
            queue_.pop_front();
            request->error = store::run_blocking(*store, *request);
            request->done(*request);
        }
    }
    int submitted = 0;

private:
    std::deque<std::pair<std::shared_ptr<store::Store>, store::Request*>> queue_;
};

inline std::vector<uint8_t> hex(const std::string& text) {
    std::vector<uint8_t> out;
    int high = -1;
    for (char ch : text) {
        int digit = ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
        if (digit < 0) continue;
        if (high < 0) high = digit;
        else out.push_back(uint8_t(high << 4 | digit)), high = -1;
    }
    return out;
}

struct Answer {
    Status status = Status::good;
    Sense sense;
    std::vector<uint8_t> data;
    Flow flow = Flow::none;
    uint64_t length = 0;
    // "05/24/00" for a check condition, "good", "conflict" ...
    std::string text() const {
        if (status == Status::good) return "good";
        if (status == Status::reservation_conflict) return "conflict";
        char s[16];
        std::snprintf(s, sizeof s, "%02x/%02x/%02x", unsigned(sense.key), sense.asc, sense.ascq);
        return s;
    }
};

struct Harness {
    Router router;
    InlineEngine engine;
    size_t chunk_size = 1 << 20;

    static std::unique_ptr<Nexus> make_nexus(uint64_t id, const std::string& name = "iqn.2026-01.test:i") {
        auto n = std::make_unique<Nexus>();
        n->id = id;
        n->initiator_name = name;
        n->initiator_port = name + ",i,0x00023d00000" + std::to_string(id);
        n->target_port = "iqn.2026-01.test:t,t,0x0001";
        return n;
    }
    void arrive(Nexus& n) { for (auto& e : *router.table()) e.second->nexus_arrived(n); }
    void leave(Nexus& n) { for (auto& e : *router.table()) e.second->nexus_lost(n); }

    Answer run(Nexus* nexus, uint64_t lun, std::vector<uint8_t> cdb, std::vector<uint8_t> out = {}) {
        Command c;
        c.nexus = nexus;
        c.lun = Router::encode_lun(lun);
        c.engine = &engine;
        std::copy_n(cdb.begin(), std::min(cdb.size(), sizeof c.cdb), c.cdb);
        c.expected_out = uint32_t(out.size());
        c.owner = &engine;
        c.done = [](Command& k) { k.step = 77; };
        Answer a;
        if (!begin(*router.table(), c)) {
            a.flow = c.flow;
            a.length = c.length;
            drive(c, out, a);
        }
        a.status = c.status;
        a.sense = c.sense;
        if (c.flow == Flow::data_in && c.status == Status::good) a.data = c.parameters;
        return a;
    }
    Answer run(Nexus* nexus, uint64_t lun, const char* cdb, std::vector<uint8_t> out = {}) {
        return run(nexus, lun, hex(cdb), std::move(out));
    }

private:
    void drive(Command& c, std::vector<uint8_t>& out, Answer& a) {
        auto finished = [&](bool at_once) {
            if (!at_once) engine.run();
        };
        if (c.flow == Flow::data_out) c.parameters.assign(out.begin(), out.begin() + long(std::min<uint64_t>(out.size(), c.length)));
        if (c.flow == Flow::none || c.flow == Flow::data_in || c.flow == Flow::data_out) return finished(c.lu->execute(c));
        const bool reading = c.flow == Flow::medium_read;
        const uint64_t length = reading ? c.length : std::min<uint64_t>(c.length, out.size());
        std::vector<uint8_t> bytes = reading ? std::vector<uint8_t>(length) : std::move(out);
        for (uint64_t at = 0; at < length && c.status == Status::good;) {
            Chunk k;
            k.command = &c;
            k.position = at;
            k.data = MutableBytes(bytes).subspan(at, std::min<uint64_t>(chunk_size, length - at));
            k.done = [](Chunk&) {};
            finished(c.lu->transfer(k));
            at += k.data.size();
        }
        if (c.status == Status::good) finished(c.lu->finish(c));
        if (reading) a.data = std::move(bytes);
    }
};

}  // namespace iscsi::scsi
