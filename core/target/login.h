// The login phase of one connection, target side, RFC 7143 §6.3 and §11.12-11.13: fed with Login Requests, says what to
// answer. No socket in here; it asks the Directory which targets there are, whom they admit and what must be proved.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/auth/chap.h"
#include "core/nego/negotiate.h"
#include "core/target/directory.h"
#include "core/target/task.h"
#include "core/wire/bhs.h"

namespace iscsi::target {

class Login {
public:
    Login(Directory& directory, std::string peer_address);
    ~Login();

    struct Reply {
        wire::LoginResponse header;         // StatSN, ExpCmdSN, MaxCmdSN are the connection's to fill
        std::string text;
    };
    enum class Outcome : uint8_t {
        more,           // send the reply, wait for the next request
        complete,       // set TSIH in the reply, send it, enter the full feature phase with the members below
        refused,        // send the reply, close
    };
    Outcome digest(const wire::LoginRequest& request, Bytes data, Reply& reply);
    const std::string& why() const { return why_; }      // of a refusal, for the log

    // After `complete`.
    const std::shared_ptr<Target>& target() const { return target_; }       // nullptr: discovery
    const nego::Params& params() const { return negotiation_->params(); }
    uint64_t isid() const { return isid_; }
    uint16_t tsih() const { return tsih_; }
    uint16_t cid() const { return cid_; }
    uint32_t cmd_sn() const { return cmd_sn_; }
    const std::string& initiator_name() const { return initiator_; }
    const std::string& user() const { return chap_->user(); }               // empty: not authenticated

private:
    Outcome refuse(Reply& reply, wire::LoginStatus status, std::string why);
    Outcome first_text(wire::TextKeys keys, Reply& reply);
    Outcome stage_text(const wire::LoginRequest& request, wire::TextKeys keys, Reply& reply);
    const char* check_request(const wire::LoginRequest& request) const;
    std::string redirect_address() const;

    Directory& directory_;
    const std::string peer_address_;
    nego::TextGatherer gathered_;
    std::unique_ptr<nego::Negotiation> negotiation_;
    AuthPolicy policy_;
    std::unique_ptr<auth::ChapTarget> chap_;
    std::shared_ptr<Target> target_;
    std::string initiator_, why_;
    bool started_ = false, identified_ = false;
    wire::Stage stage_ = wire::Stage::security;
    uint64_t isid_ = 0;
    uint16_t tsih_ = 0, cid_ = 0;
    uint32_t itt_ = 0, cmd_sn_ = 0;
};

}  // namespace iscsi::target
