#include "core/initiator/discovery.h"

#include <charconv>
#include <cstring>

#include "core/initiator/connection.h"
#include "core/nego/negotiate.h"
#include "core/wire/text_keys.h"

namespace iscsi::initiator {
namespace {

constexpr size_t max_text = 4 * 1024 * 1024;            // some 20,000 portals
constexpr unsigned max_exchanges = 4096;
constexpr uint32_t text_tag = 1;

// TargetAddress: host[:port][,tag] (§13.8).
bool parse_target_address(std::string_view value, DiscoveredPortal& portal) {
    size_t comma = value.rfind(',');
    if (comma != value.npos) {
        std::string_view tag = value.substr(comma + 1);
        auto [end, error] = std::from_chars(tag.data(), tag.data() + tag.size(), portal.tpgt);
        if (error != std::errc() || end != tag.data() + tag.size()) return false;
        value = value.substr(0, comma);
    }
    auto place = io::split_host_port(value, 3260);
    if (!place) return false;
    portal.host = std::move(place->host);
    portal.port = place->port;
    return true;
}

}  // namespace

bool parse_send_targets(Bytes text, const std::string& host, uint16_t port, DiscoveryResult& out) {
    std::string_view rest = as_text(text);
    std::string name;
    bool has_address = true, skip = true;
    auto close_record = [&] {
        if (!has_address) out.portals.push_back({name, host, port, 1});
        has_address = true;
    };
    while (!rest.empty()) {
        size_t end = rest.find('\0');
        if (end == rest.npos) return false;
        std::string_view pair = rest.substr(0, end);
        rest.remove_prefix(end + 1);
        if (pair.empty()) continue;                     // padding
        size_t equals = pair.find('=');
        if (equals == pair.npos) return false;
        std::string_view key = pair.substr(0, equals), value = pair.substr(equals + 1);
        if (key == "TargetName") {
            close_record();
            skip = !wire::usable_iscsi_name(value);
            out.ignored += skip;
            name = skip ? std::string() : std::string(value);
            has_address = skip;
        } else if (key == "TargetAddress" && !skip) {
            DiscoveredPortal portal;
            portal.target_name = name;
            has_address = true;
            if (parse_target_address(value, portal)) out.portals.push_back(std::move(portal));
            else out.ignored++;
        }                                               // TargetAlias and what else there is: nothing for us
    }
    close_record();
    return true;
}

class Discovery::Work final : private Connection::Owner {
public:
    Work(io::Loop& loop, DiscoverySettings settings, Done done)
        : loop_(loop), settings_(std::move(settings)), done_(std::move(done)), connection_(loop, *this, 32 * 1024, 16),
          deadline_(loop, [this] { late(); }),
          deliver_later_(loop, [this] { Done(std::move(done_))(std::move(result_)); }), text_(max_text) {
        settings_.login.offers.discovery = true;
        settings_.login.tsih = 0;
        deadline_.arm(settings_.timeout_ms);
        look_up(settings_.host, settings_.port);
    }

private:
    enum class Phase : uint8_t { reaching, login, asking };

    void look_up(const std::string& host, uint16_t port) {
        phase_ = Phase::reaching;
        addresses_.clear();
        io::ResolveOptions options;
        options.timeout_ms = settings_.timeout_ms;
        lookup_ = std::make_unique<io::Lookup>(loop_, host, port, options, [this](Result<io::Addresses> found) {
            if (!found) return fail(DiscoveryFailure::Kind::resolve, found.error().text());
            addresses_ = std::move(*found);
            address_ = 0;
            connect_next(ECONNREFUSED);
        });
    }

    void connect_next(int error) {
        ConnectOptions options;
        options.bind_address = settings_.bind_address;
        options.bind_interface = settings_.bind_interface;
        for (; address_ < addresses_.size(); address_++) {
            auto started = connection_.connect(addresses_[address_], options);
            if (started) return;
            error = started.error().code;
        }
        fail(DiscoveryFailure::Kind::connect, "connect to " + addresses_.back().portal() + ": " + std::strerror(error), error);
    }

    void connected() override {
        phase_ = Phase::login;
        login_ = std::make_unique<Login>(settings_.login);
        login_step(login_->start());
    }

    void login_step(Login::Step step) {
        if (step == Login::Step::send) {
            connection_.put(login_->header(), login_->data());
            return;
        }
        if (step == Login::Step::done) return ask();
        const LoginFailure failure = login_->failure();
        connection_.close();
        if (failure.kind == LoginFailure::Kind::redirected && redirects_++ < settings_.max_redirects)
            return look_up(failure.host, failure.port);
        if (drop_misread_hash(settings_.login, failure)) {
            phase_ = Phase::reaching;
            return connect_next(ECONNREFUSED);
        }
        DiscoveryResult result;
        result.failure = {DiscoveryFailure::Kind::login, 0, "login: " + failure.text, failure};
        deliver(std::move(result));
    }

    void ask() {
        const LoginSuccess& s = login_->success();
        phase_ = Phase::asking;
        connection_.full_feature(s.params.header_digest, s.params.data_digest,
                                 std::max<uint32_t>(s.params.max_recv_data_segment, Connection::scratch_size));
        cmd_sn_ = s.cmd_sn;
        exp_stat_sn_ = s.exp_stat_sn;
        question_ = "SendTargets=" + settings_.question + std::string(1, '\0');
        send_text(wire::reserved_tag, 0, as_bytes(question_));
    }

    void send_text(uint32_t ttt, uint64_t lun, Bytes data) {
        wire::TextRequest h;
        h.data_segment_length = uint32_t(data.size());
        h.lun = lun;
        h.itt = text_tag;
        h.ttt = ttt;
        h.cmd_sn = cmd_sn_++;
        h.exp_stat_sn = exp_stat_sn_;
        connection_.put(h, data);
    }

    Connection::Landing arriving(const wire::Bhs& h) override {
        // Text comes in segments of up to our MaxRecvDataSegmentLength.
        if (phase_ != Phase::asking || h.opcode != uint8_t(wire::Opcode::text_response)) return {};
        piece_.resize(h.data_segment_length);
        return {Connection::Landing::Way::here, piece_.data(), ""};
    }

    void arrived(const wire::Bhs& header, Bytes data) override {
        if (phase_ == Phase::login) {
            if (connection_.sent_count() != connection_.put_count())
                return fail(DiscoveryFailure::Kind::protocol, "the target answers before it was asked");
            return login_step(login_->feed(wire::header_cast<wire::LoginResponse>(header), data));
        }
        switch (wire::Opcode(header.opcode)) {
        case wire::Opcode::text_response: return take_text(wire::header_cast<wire::TextResponse>(header), data);
        case wire::Opcode::nop_in: return answer_ping(wire::header_cast<wire::NopIn>(header));
        default: fail(DiscoveryFailure::Kind::protocol, "a PDU that is no answer to SendTargets");
        }
    }

    void take_text(const wire::TextResponse& h, Bytes data) {
        if (h.itt != text_tag) return fail(DiscoveryFailure::Kind::protocol, "Text Response with another task tag");
        exp_stat_sn_ = h.stat_sn + 1;
        if (!text_.add(data) || ++exchanges_ > max_exchanges)
            return fail(DiscoveryFailure::Kind::protocol, "more targets than anybody can have");
        const bool final = h.flags & wire::final_bit, more = h.flags & wire::TextResponse::continue_bit;
        if (final && more) return fail(DiscoveryFailure::Kind::protocol, "Text Response with both F and C");
        if (!final) {
            if (h.ttt == wire::reserved_tag) return fail(DiscoveryFailure::Kind::protocol, "Text Response without a tag to go on with");
            return send_text(h.ttt, h.lun, {});
        }
        DiscoveryResult result;
        result.ok = parse_send_targets(text_.text(), settings_.host, settings_.port, result);
        if (!result.ok) return fail(DiscoveryFailure::Kind::protocol, "malformed list of targets");
        deliver(std::move(result));
    }

    void answer_ping(const wire::NopIn& h) {
        if (h.ttt != wire::reserved_tag) connection_.put(ping_answer(h, cmd_sn_, exp_stat_sn_));
    }

    void room() override {}

    void broken(const char* why, int error) override {
        if (phase_ == Phase::reaching) {
            address_++;
            return connect_next(error);
        }
        fail(DiscoveryFailure::Kind::closed, during() + (error ? std::string(why) + ": " + std::strerror(error) : why), error);
    }

    void late() {
        const std::string to = address_ < addresses_.size() ? "connect to " + addresses_[address_].portal() + ": " + std::strerror(ETIMEDOUT)
                                                            : "resolve " + settings_.host + ": no answer in time";
        fail(DiscoveryFailure::Kind::timeout, phase_ == Phase::reaching ? to : during() + "no answer in time", ETIMEDOUT);
    }
    std::string during() const { return phase_ == Phase::login ? "during login: " : "SendTargets: "; }

    void fail(DiscoveryFailure::Kind kind, std::string text, int code = 0) {
        DiscoveryResult result;
        result.failure.kind = kind;
        result.failure.code = code;
        result.failure.text = std::move(text);
        deliver(std::move(result));
    }

    // The end. The owner hears of it when nothing of ours is on the stack any more, because it may delete us then.
    void deliver(DiscoveryResult result) {
        if (over_) return;
        over_ = true;
        connection_.close();
        deadline_.cancel();
        result_ = std::move(result);
        deliver_later_.schedule();
    }

    io::Loop& loop_;
    DiscoverySettings settings_;
    Done done_;
    Connection connection_;
    io::Timer deadline_;
    io::Deferred deliver_later_;
    DiscoveryResult result_;
    bool over_ = false;
    std::unique_ptr<io::Lookup> lookup_;
    io::Addresses addresses_;
    size_t address_ = 0;
    unsigned redirects_ = 0, exchanges_ = 0;
    Phase phase_ = Phase::reaching;
    std::unique_ptr<Login> login_;
    uint32_t cmd_sn_ = 0, exp_stat_sn_ = 0;
    std::string question_;
    std::vector<uint8_t> piece_;
    nego::TextGatherer text_;
};

Discovery::Discovery(io::Loop& loop, DiscoverySettings settings, Done done)
    : work_(std::make_unique<Work>(loop, std::move(settings), std::move(done))) {}
Discovery::~Discovery() = default;

DiscoveryResult discover(const DiscoverySettings& settings) {
    DiscoveryResult result;
    auto loop = io::Loop::create();
    if (!loop) {
        result.failure.text = loop.error().text();
        return result;
    }
    bool over = false;
    Discovery discovery(**loop, settings, [&](DiscoveryResult r) {
        result = std::move(r);
        over = true;
    });
    while (!over) (*loop)->run_once(-1);
    return result;
}

}  // namespace iscsi::initiator
