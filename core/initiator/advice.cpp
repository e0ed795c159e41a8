#include "core/initiator/advice.h"

#include "core/initiator/client.h"

namespace iscsi::initiator {
namespace {

using wire::LoginStatus;

constexpr const char *look_further = "; `iscsi doctor URL` looks further", *no_portal = "; is that an iSCSI portal? Its port is usually 3260",
                     *silent = "; is it up, and does no firewall drop this? `iscsi doctor URL` looks further",
                     *name_trouble = "; check its spelling and /etc/resolv.conf, or give an address";

const char* of_connect(int error) {
    switch (error) {
    case ECONNREFUSED: return "; is tgtd running there, on this port? `iscsi doctor URL` looks further";
    case ENETUNREACH: case EHOSTUNREACH: return "; check the address and the way there (ip route get ADDRESS)";
    case ETIMEDOUT: return silent;
    default: return look_further;
    }
}

const char* of_login(const LoginFailure& f, bool credentials) {
    switch (f.kind) {
    case LoginFailure::Kind::target_unproved: return "; target_user and target_password must be its outgoing account";
    case LoginFailure::Kind::protocol: return no_portal;
    case LoginFailure::Kind::refused: break;
    default: return look_further;
    }
    switch (f.status) {
    case LoginStatus::authentication_failed:
        return credentials ? "; check CHAP user and password" : "; it wants CHAP: iscsi://USER%PASSWORD@..., or see LIBISCSI_CHAP_USERNAME in --help";
    case LoginStatus::authorization_failed: return "; let this address and initiator name (-i) in on the target";
    case LoginStatus::not_found: case LoginStatus::target_removed: return "; `iscsi ls` shows those that this host may use";
    default: return f.retry() ? "; try again later" : look_further;
    }
}

}  // namespace

const char* advice(const SessionEnd& end, bool credentials) {
    switch (end.kind) {
    case SessionEnd::Kind::logout: return "";
    case SessionEnd::Kind::resolve: return name_trouble;
    case SessionEnd::Kind::connect: return of_connect(end.code);
    case SessionEnd::Kind::login: return of_login(end.login, credentials);
    case SessionEnd::Kind::lost: break;
    }
    return end.code == ETIMEDOUT ? silent : end.code == EPROTO ? no_portal : look_further;
}

const char* advice(const DiscoveryFailure& f, bool credentials) {
    switch (f.kind) {
    case DiscoveryFailure::Kind::resolve: return name_trouble;
    case DiscoveryFailure::Kind::connect: return of_connect(f.code);
    case DiscoveryFailure::Kind::timeout: return silent;
    case DiscoveryFailure::Kind::login: return of_login(f.login, credentials);
    case DiscoveryFailure::Kind::closed: case DiscoveryFailure::Kind::protocol: return no_portal;
    }
    return "";
}

const char* advice(const ScsiRequest& r) {
    if (r.outcome == ScsiRequest::Outcome::in_doubt) return "; does the target's disk hang? See its log";
    if (r.outcome != ScsiRequest::Outcome::answered) return "";
    if (r.status == 0x18) return "; another initiator has reserved the unit and must release it";
    const SenseCode sense = sense_code(r);
    switch (sense.asc) {
    case 0x2500: return "; `iscsi ls -s` lists those that are there";
    case 0x2700: return "; the target exports it read-only";
    case 0x2707: return "; make room for it on the target";
    case 0x3a00: return "; the target must bring its disk online";
    }
    return sense.key == 3 || sense.key == 4 ? "; see the target's log" : "";
}

}  // namespace iscsi::initiator
