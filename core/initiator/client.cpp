#include "core/initiator/client.h"

#include <cstdio>

#include "core/initiator/advice.h"

namespace iscsi::initiator {
namespace {

constexpr uint8_t check_condition = 0x02, condition_met = 0x04, busy = 0x08, task_set_full = 0x28;
constexpr unsigned max_retries = 20;

const char* key_text(uint8_t key) {
    static const char* const names[] = {"no sense", "recovered error", "not ready", "medium error", "hardware error", "illegal request",
                                        "unit attention", "data protect", "blank check", "vendor specific", "copy aborted",
                                        "aborted command", "obsolete", "volume overflow", "miscompare", "completed"};
    return names[key & 0x0f];
}

const char* status_text(uint8_t status) {
    switch (status) {
    case 0x00: return "GOOD";
    case check_condition: return "CHECK CONDITION";
    case condition_met: return "CONDITION MET";
    case busy: return "BUSY";
    case 0x18: return "RESERVATION CONFLICT";
    case task_set_full: return "TASK SET FULL";
    case 0x30: return "ACA ACTIVE";
    case 0x40: return "TASK ABORTED";
    default: return "unknown status";
    }
}

// The ones a person meets (SPC-4 annex D); else numbers.
const char* asc_text(uint16_t asc) {
    switch (asc) {
    case 0x0401: return "becoming ready";
    case 0x0402: return "needs to be started";
    case 0x0c00: return "write error";
    case 0x1100: return "unrecovered read error";
    case 0x1a00: return "parameter list length error";
    case 0x1d00: return "miscompare during verify";
    case 0x2000: return "invalid command";
    case 0x2100: return "LBA out of range";
    case 0x2400: return "invalid field in CDB";
    case 0x2500: return "no such logical unit";
    case 0x2600: return "invalid field in parameter list";
    case 0x2700: return "write protected";
    case 0x2707: return "space allocation failed";
    case 0x2900: case 0x2901: case 0x2902: case 0x2903: case 0x2904: return "power on or reset";
    case 0x2a09: return "capacity changed";
    case 0x3a00: return "no medium";
    case 0x3f0e: return "list of logical units changed";
    case 0x4400: return "internal target failure";
    case 0x4708: case 0x4705: return "data digest error";
    default: return nullptr;
    }
}

}  // namespace

SessionConfig session_config(const Url& url, const std::string& initiator_name) {
    SessionConfig s;
    s.host = url.host;
    s.port = url.port;
    s.login.isid = random_isid();
    nego::Limits& offers = s.login.offers;
    offers.initiator_name = url.initiator_name.empty() ? initiator_name : url.initiator_name;
    offers.target_name = url.target_name;
    offers.header_digest = url.header_digest;
    offers.data_digest = url.data_digest;
    offers.default_time2wait = 0;
    offers.max_outstanding_r2t = 4;
    s.login.chap.account = {url.user, url.password};
    s.login.chap.target_account = {url.target_user, url.target_password};
    return s;
}

SenseCode sense_code(const ScsiRequest& r) {
    if (r.outcome != ScsiRequest::Outcome::answered || r.status != check_condition || r.sense_length < 4) return {};
    const uint8_t format = r.sense[0] & 0x7f;
    if (format == 0x72 || format == 0x73) return {uint8_t(r.sense[1] & 0x0f), get16(&r.sense[2])};
    if ((format == 0x70 || format == 0x71) && r.sense_length >= 14) return {uint8_t(r.sense[2] & 0x0f), get16(&r.sense[12])};
    if (format == 0x70 || format == 0x71) return {uint8_t(r.sense[2] & 0x0f), 0};
    return {};
}

bool worth_retry(const ScsiRequest& r) {
    if (r.outcome != ScsiRequest::Outcome::answered) return false;
    if (r.status == busy || r.status == task_set_full) return true;
    const SenseCode sense = sense_code(r);
    return sense.key == 6 || (sense.key == 2 && sense.asc == 0x0401) || sense.key == 11;
}

std::string describe(const ScsiRequest& r) {
    switch (r.outcome) {
    case ScsiRequest::Outcome::pending: return "no answer";
    case ScsiRequest::Outcome::lost: return "session lost";
    case ScsiRequest::Outcome::in_doubt:
        return r.out.empty() && (r.in.data() || r.discard) ? "no answer, given up" : "no answer, given up; it may or may not have been carried out";
    case ScsiRequest::Outcome::rejected: return "rejected by the target";
    case ScsiRequest::Outcome::answered: break;
    }
    std::string s = status_text(r.status);
    if (r.status != check_condition) return s;
    const SenseCode sense = sense_code(r);
    s += std::string(", ") + key_text(sense.key);
    if (const char* known = asc_text(sense.asc)) return s + ", " + known;
    char code[32];
    std::snprintf(code, sizeof code, ", asc %02xh ascq %02xh", sense.asc >> 8, sense.asc & 0xff);
    return s + code;
}

std::string explain(const ScsiRequest& r, const std::string& end_text) {
    std::string s = describe(r) + advice(r);
    return r.outcome == ScsiRequest::Outcome::lost && !end_text.empty() ? s + ": " + end_text : s;
}

Result<std::unique_ptr<Client>> Client::connect(const SessionConfig& settings, io::Loop* shared, uint64_t limit_ms) {
    std::unique_ptr<Client> client(new Client);
    if (!shared) client->own_loop_ = TRY(io::Loop::create());
    client->loop_ = shared ? shared : client->own_loop_.get();
    SessionOwner& owner = *client;
    client->credentials_ = !settings.login.chap.account.user.empty();
    client->session_ = std::make_unique<Session>(*client->loop_, settings, owner);
    if (limit_ms) {
        client->limit_ = std::make_unique<io::Timer>(*client->loop_, [session = client->session_.get()] { session->expire(); });
        client->limit_->arm(limit_ms);
    }
    client->session_->start();
    while (!client->up_ && !client->ended_) client->loop_->run_once(-1);
    if (client->ended_) return Error{0, client->end_text_, ""};
    return client;
}

Client::~Client() {
    if (!session_) return;
    limit_.reset();
    if (!ended_ && session_->is_up()) {
        session_->logout();
        while (!ended_) loop_->run_once(-1);
    }
}

void Client::session_ended(Session&, const SessionEnd& end) {
    ended_ = true;
    end_text_ = end.text + advice(end, credentials_);
}

Result<void> Client::execute(ScsiRequest& request, const char* what) {
    for (unsigned attempt = 0;; attempt++) {
        bool over = false;
        request.owner = &over;
        request.done = [](ScsiRequest& r) { *static_cast<bool*>(r.owner) = true; };
        session_->submit(request);
        while (!over) loop_->run_once(-1);
        if (request.good() || (request.outcome == ScsiRequest::Outcome::answered && request.status == condition_met)) return {};
        if (!worth_retry(request) || attempt == max_retries) break;
        if (sense_code(request).key == 6) continue;     // a unit attention is over once it has been told
        bool waited = false;
        io::Timer pause(*loop_, [&] { waited = true; });
        pause.arm(100);
        while (!waited) loop_->run_once(-1);
    }
    const std::string why = explain(request, end_text_);
    return Error{0, what, why};
}

}  // namespace iscsi::initiator
